"""``pantheon pause | resume | drain | cancel | hold | release``: the operator's word, with its reason."""

import click

from pantheon.core.orders import Verb
from pantheon.ports.store import Store
from pantheon.shell.cli.context import Session, dry_run_option, json_option, session_option
from pantheon.shell.cli.giving import (
    Given,
    batch_option,
    find_batch,
    find_tasks,
    give_orders,
    open_night,
    operator,
    reason_option,
    refusable,
    tasks_argument,
    weak_reason_option,
)


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


COMMANDS = {one.name: one for one in (pause, resume, drain, cancel, hold, release)}
"""Name -> command."""


def _order_night(session: Session, verb: Verb, reason: str, *, dry_run: bool, as_json: bool) -> None:
    async def give(store: Store) -> list[Given]:
        night = open_night(await store.nights())
        if dry_run:
            return [Given(verb.value, f"night {night}", changed=True)]
        order = await refusable(store.add_order(verb, night=night, reason=reason, by=operator()))
        return [Given(verb.value, f"night {night}", order is not None)]

    give_orders(session, give, dry_run=dry_run, as_json=as_json)


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
            subjects = [(key, "") for key in await find_tasks(store, tasks)]
        given = []
        for task, name in subjects:
            subject = task or f"batch {name}"
            if dry_run:
                given.append(Given(verb.value, subject, changed=True))
                continue
            order = await refusable(
                store.add_order(verb, task=task, batch=name, reason=reason, by=operator())
            )
            given.append(Given(verb.value, subject, order is not None))
        return given

    give_orders(session, give, dry_run=dry_run, as_json=as_json)
