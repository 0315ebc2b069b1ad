"""``pantheon pause | resume | drain | cancel | hold | release | requeue``: the operator's word, with its reason."""

import os
import pwd
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import click

from pantheon.core.errors import ConfigError, TransitionError
from pantheon.core.orders import Verb
from pantheon.core.overview import find_task
from pantheon.core.records import BatchRecord, NightRecord, NightState
from pantheon.ports.store import Store
from pantheon.shell.cli.context import Session, dry_run_option, json_option, run_async, session_option
from pantheon.shell.cli.output import emit, emit_json, say
from pantheon.shell.config import Project
from pantheon.shell.wiring import find_night_holder, open_project_store

reason_option = click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the record.")
weak_reason_option = click.option("--reason", default="", metavar="TEXT", help="Why; kept in the record.")
tasks_argument = click.argument("tasks", nargs=-1, metavar="TASK...")
batch_option = click.option("--batch", default="", metavar="BATCH", help="All tasks of a batch.")


@dataclass(frozen=True)
class Given:
    """What came of one order."""

    verb: str
    subject: str
    changed: bool
    detail: str = ""


Give = Callable[[Store], Awaitable[list[Given]]]


@click.command("pause")
@reason_option
@dry_run_option
@json_option
@session_option
def pause(session: Session, reason: str, dry_run: bool, as_json: bool) -> None:
    """Start nothing more in the open night; its process stays and waits.

    Example: pantheon pause --reason "the machine is needed"
    """
    _order_night(session, Verb.PAUSE, reason, dry_run=dry_run, as_json=as_json)


@click.command("resume")
@weak_reason_option
@dry_run_option
@json_option
@session_option
def resume(session: Session, reason: str, dry_run: bool, as_json: bool) -> None:
    """Take back a pause or a drain of the open night.

    A night whose process has ended goes on with: pantheon night. Example: pantheon resume
    """
    _order_night(session, Verb.RESUME, reason, dry_run=dry_run, as_json=as_json)


@click.command("drain")
@reason_option
@dry_run_option
@json_option
@session_option
def drain(session: Session, reason: str, dry_run: bool, as_json: bool) -> None:
    """Finish what runs in the open night, start nothing more, and leave the rest to the next pantheon night.

    Example: pantheon drain --reason "kernel update"
    """
    _order_night(session, Verb.DRAIN, reason, dry_run=dry_run, as_json=as_json)


@click.command("cancel")
@tasks_argument
@batch_option
@click.option("--night", "whole", is_flag=True, help="All tasks of the open night.")
@reason_option
@dry_run_option
@json_option
@session_option
def cancel(
    session: Session,
    tasks: tuple[str, ...],
    batch: str,
    whole: bool,
    reason: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """End tasks without a change: what runs is stopped, what waits never starts; a merge that has begun is finished.

    Example: pantheon cancel fm-0007 --reason "the file is going away"
    """
    if whole:
        if tasks or batch:
            raise click.UsageError("say tasks, --batch or --night, not several of them")
        _order_night(session, Verb.CANCEL, reason, dry_run=dry_run, as_json=as_json)
        return
    _order_tasks(session, Verb.CANCEL, tasks, batch, reason, dry_run=dry_run, as_json=as_json)


@click.command("hold")
@tasks_argument
@batch_option
@reason_option
@dry_run_option
@json_option
@session_option
def hold(
    session: Session, tasks: tuple[str, ...], batch: str, reason: str, dry_run: bool, as_json: bool
) -> None:
    """Start nothing of these tasks, tonight or any night, until they are released; what runs is finished.

    Example: pantheon hold --batch 3fa1 --reason "look at the goals again"
    """
    _order_tasks(session, Verb.HOLD, tasks, batch, reason, dry_run=dry_run, as_json=as_json)


@click.command("release")
@tasks_argument
@batch_option
@weak_reason_option
@dry_run_option
@json_option
@session_option
def release(
    session: Session, tasks: tuple[str, ...], batch: str, reason: str, dry_run: bool, as_json: bool
) -> None:
    """Take back a hold.

    Example: pantheon release fm-0007
    """
    _order_tasks(session, Verb.RELEASE, tasks, batch, reason, dry_run=dry_run, as_json=as_json)


@click.command("requeue")
@tasks_argument
@click.option(
    "--from", "from_node", default=None, metavar="NODE", help="In an open night: begin at this node."
)
@reason_option
@dry_run_option
@json_option
@session_option
def requeue(
    session: Session, tasks: tuple[str, ...], from_node: str | None, reason: str, dry_run: bool, as_json: bool
) -> None:
    """Take up tasks again that were not accepted: in the open night from where they failed, else in the next one.

    Example: pantheon requeue fm-0007 --reason "the prompt was mended"
    """
    if not tasks:
        raise click.UsageError("name at least one task")

    async def give(store: Store) -> list[Given]:
        found = await _find_tasks(store, tasks)
        if dry_run:
            return [Given("requeue", key, changed=True) for key in found]
        given = []
        for key in found:
            again = await _refusable(store.requeue(key, from_node=from_node, reason=reason, by=_operator()))
            names = ", ".join(name.rpartition("#")[2] for name in again if name.startswith(f"{key}#"))
            given.append(Given("requeue", key, changed=True, detail=names or "waits for the next night"))
        return given

    _give(session, give, dry_run=dry_run, as_json=as_json)


COMMANDS = {one.name: one for one in (pause, resume, drain, cancel, hold, release, requeue)}
"""Name -> command."""


def _order_night(session: Session, verb: Verb, reason: str, *, dry_run: bool, as_json: bool) -> None:
    async def give(store: Store) -> list[Given]:
        night = _open_night(await store.nights())
        if dry_run:
            return [Given(verb.value, f"night {night}", changed=True)]
        order = await _refusable(store.add_order(verb, night=night, reason=reason, by=_operator()))
        return [Given(verb.value, f"night {night}", order is not None)]

    _give(session, give, dry_run=dry_run, as_json=as_json)


def _order_tasks(
    session: Session,
    verb: Verb,
    tasks: tuple[str, ...],
    batch: str,
    reason: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    if bool(tasks) == bool(batch):
        raise click.UsageError("name tasks, or one --batch")

    async def give(store: Store) -> list[Given]:
        if batch:
            subjects = [("", find_batch(await store.batches(), batch))]
        else:
            subjects = [(key, "") for key in await _find_tasks(store, tasks)]
        given = []
        for task, name in subjects:
            subject = task or f"batch {name}"
            if dry_run:
                given.append(Given(verb.value, subject, changed=True))
                continue
            order = await _refusable(
                store.add_order(verb, task=task, batch=name, reason=reason, by=_operator())
            )
            given.append(Given(verb.value, subject, order is not None))
        return given

    _give(session, give, dry_run=dry_run, as_json=as_json)


def _give(session: Session, give: Give, *, dry_run: bool, as_json: bool) -> None:
    project = session.project()
    given, holder = run_async(lambda: _carry_out(project, give))
    if as_json:
        emit_json({"dry_run": dry_run, "orders": [vars(one) for one in given]})
        return
    for one in given:
        emit(_sentence(one, dry_run=dry_run))
    if any(one.changed for one in given) and not dry_run:
        say(
            f"The night that runs ({holder}) obeys within a second."
            if holder
            else "The next pantheon night obeys."
        )


async def _carry_out(project: Project, give: Give) -> tuple[list[Given], str | None]:
    if not project.database.exists():
        raise ConfigError("nothing was enqueued here yet", hint="pantheon enqueue FILE")
    async with open_project_store(project, write=True) as store:
        return await give(store), await find_night_holder(project)


def _sentence(given: Given, *, dry_run: bool) -> str:
    if dry_run:
        return f"would {given.verb} {given.subject}"
    if not given.changed:
        return f"{given.subject}: nothing to {given.verb}; it stands so already"
    return f"{given.verb} {given.subject}" + (f": {given.detail}" if given.detail else "")


def _open_night(nights: tuple[NightRecord, ...]) -> str:
    for night in reversed(nights):
        if night.state is NightState.RUNNING:
            return night.id
    raise ConfigError(
        "no night is open", hint="pantheon night begins one; pantheon hold keeps tasks out of it"
    )


def find_batch(batches: tuple[BatchRecord, ...], name: str) -> str:
    """Return the name of the only batch that begins so. Raises ``ConfigError`` when none or several do."""
    fitting = [batch.name for batch in batches if batch.name.startswith(name)]
    if name in fitting:
        return name
    if len(fitting) != 1:
        what = f"fits several batches: {', '.join(fitting[:10])}" if fitting else "is no batch"
        raise ConfigError(f"{name!r} {what}", hint="pantheon status lists the batches that wait")
    return fitting[0]


async def _find_tasks(store: Store, names: tuple[str, ...]) -> list[str]:
    tasks = await store.tasks()
    return list(dict.fromkeys(find_task(tasks, name).key for name in names))


async def _refusable(order: Awaitable[Any]) -> Any:
    """Turn what the operator's own words brought about into a usage error."""
    try:
        return await order
    except TransitionError as error:
        raise ConfigError(error.message, hint=error.hint) from error


def _operator() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
