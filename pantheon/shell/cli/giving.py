"""What the operator's commands share: finding their subjects, giving the orders, and saying what came of them."""

import os
import pwd
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import click

from pantheon.core.errors import ConfigError, TransitionError
from pantheon.core.overview import find_task
from pantheon.core.records import BatchRecord, NightRecord, NightState
from pantheon.ports.store import Store
from pantheon.shell.cli.context import Session, run_async
from pantheon.shell.cli.output import emit, emit_json, say
from pantheon.shell.config import Project
from pantheon.shell.wiring import find_night_holder, open_project_store


def _some_reason(_context: click.Context, _option: click.Parameter, reason: str) -> str:
    if not reason.strip():
        raise click.BadParameter("say why; whoever reads the record tomorrow will ask")
    return reason


reason_option = click.option(
    "--reason", required=True, metavar="TEXT", callback=_some_reason, help="Why; kept in the record."
)
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


def give_orders(session: Session, give: Give, *, dry_run: bool, as_json: bool) -> None:
    project = session.project_of_a_night()
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
        return f"{given.subject}: " + (given.detail or f"nothing to {given.verb}; it stands so already")
    return f"{given.verb} {given.subject}" + (f": {given.detail}" if given.detail else "")


def open_night(nights: tuple[NightRecord, ...]) -> str:
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


async def find_tasks(store: Store, names: tuple[str, ...]) -> list[str]:
    tasks = await store.tasks()
    return list(dict.fromkeys(find_task(tasks, name).key for name in names))


async def refusable(order: Awaitable[Any]) -> Any:
    """Turn what the operator's own words brought about into a usage error."""
    try:
        return await order
    except TransitionError as error:
        raise ConfigError(error.message, hint=error.hint) from error


def operator() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
