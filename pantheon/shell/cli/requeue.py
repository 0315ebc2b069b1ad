"""``pantheon requeue``: take up again what was not accepted."""

import click

from pantheon.core.errors import ConfigError
from pantheon.core.lifecycle import UNSUCCESSFUL
from pantheon.ports.store import Store
from pantheon.shell.cli.context import Session, dry_run_option, json_option, session_option
from pantheon.shell.cli.giving import (
    Given,
    find_tasks,
    give_orders,
    operator,
    reason_option,
    refusable,
    tasks_argument,
)


@click.command("requeue")
@tasks_argument
@click.option("--failed", is_flag=True, help="All tasks of the last night that were not accepted.")
@click.option(
    "--from", "from_node", default=None, metavar="NODE", help="In an open night: begin at this node."
)
@reason_option
@dry_run_option
@json_option
@session_option
def command(
    session: Session,
    tasks: tuple[str, ...],
    failed: bool,
    from_node: str | None,
    reason: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take up tasks again that were not accepted: in the open night from where they failed, else in the next one.

    Example: pantheon requeue fm-0007 --reason "the prompt was mended", or pantheon requeue --failed --reason "..."
    """
    if bool(tasks) == failed:
        raise click.UsageError("name tasks, or say --failed")

    async def give(store: Store) -> list[Given]:
        if failed:
            return await _requeue_all(store, from_node, reason, dry_run=dry_run)
        found = await find_tasks(store, tasks)
        if dry_run:
            return [Given("requeue", key, changed=True) for key in found]
        return [(await _requeue(store, key, from_node, reason))[0] for key in found]

    give_orders(session, give, dry_run=dry_run, as_json=as_json)


async def _requeue(store: Store, task: str, from_node: str | None, reason: str) -> tuple[Given, set[str]]:
    """Requeue a task; returns what came of it, and every task that was taken along."""
    again = await refusable(store.requeue(task, from_node=from_node, reason=reason, by=operator()))
    names = ", ".join(name.rpartition("#")[2] for name in again if name.startswith(f"{task}#"))
    given = Given("requeue", task, changed=True, detail=names or "waits for the next night")
    return given, {name.partition("#")[0] for name in again}


async def _requeue_all(store: Store, from_node: str | None, reason: str, *, dry_run: bool) -> list[Given]:
    """Requeue each one that can be; one that cannot be now says why and keeps no other from it."""
    given, taken = list[Given](), set[str]()
    for key in await _unsuccessful(store):
        if dry_run:
            given.append(Given("requeue", key, changed=True))
        elif key not in taken:
            try:
                one, along = await _requeue(store, key, from_node, reason)
            except ConfigError as error:
                given.append(Given("requeue", key, changed=False, detail=error.message))
            else:
                given.append(one)
                taken |= along
    return given


async def _unsuccessful(store: Store) -> list[str]:
    """Return the tasks of the last night that were not accepted and that no later order has taken up."""
    nights = await store.nights()
    tasks = await store.tasks(night=nights[-1].id) if nights else ()
    waiting = {task.key for task in await store.tasks(pending=True)}
    return [task.key for task in tasks if task.outcome in UNSUCCESSFUL and task.key not in waiting]
