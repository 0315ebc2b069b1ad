"""``pantheon undo TASK``: take a landed change back."""

import click

from pantheon.core.errors import ConfigError
from pantheon.core.overview import find_task
from pantheon.engine.undo import Undoer, Undone
from pantheon.shell.cli.context import Session, dry_run_option, json_option, run_async, session_option
from pantheon.shell.cli.giving import operator, reason_option
from pantheon.shell.cli.output import emit, emit_json, say
from pantheon.shell.config import Project
from pantheon.shell.day_wiring import find_signer, open_day

NOT_UNDONE = 1


@click.command("undo")
@click.argument("task")
@reason_option
@dry_run_option
@json_option
@session_option
def command(session: Session, task: str, reason: str, dry_run: bool, as_json: bool) -> int | None:
    """Take back what TASK landed, by a commit on its night's branch.

    A branch of yours is never touched: where one has the change already, the command that takes it back there is
    printed instead, and the exit code is 1.

    Example: pantheon undo fm-0007 --reason "the title is misleading"
    """
    project = session.project()
    done = run_async(lambda: _undo(session, project, task, reason, dry_run=dry_run))
    if as_json:
        emit_json({"dry_run": dry_run, **vars(done)})
    else:
        _tell(done)
    return NOT_UNDONE if done.result == "elsewhere" else None


async def _undo(session: Session, project: Project, name: str, reason: str, *, dry_run: bool) -> Undone:
    async with open_day(project, write=not dry_run) as day:
        record = find_task(await day.store.tasks(), name)
        night = next((one for one in await day.store.nights() if one.id == record.night), None)
        if night is None:
            raise ConfigError(f"no night has taken {record.key}", hint="pantheon status says what waits.")
        signer = None if dry_run else find_signer(project, session.user_paths())
        undoer = Undoer(day.history, day.store, day.clock, signer, operator())
        return await undoer.undo(night, record.key, reason=reason, dry_run=dry_run)


def _tell(done: Undone) -> None:
    what = f"{done.commit[:12]} {done.subject}"
    if done.result == "elsewhere":
        say(
            f"{what} is in {', '.join(done.where)} already; no branch of yours was touched. Take it back there:"
        )
        for line in done.commands:
            emit(line)
    elif done.result == "would_undo":
        emit(f"would take back {what}")
    elif done.result == "undone_before":
        emit(f"{what} was taken back before, by {done.undo[:12]}")
    else:
        emit(f"took back {what}, by {done.undo[:12]}")
        if not done.signed:
            say(
                "You have no signing key, so nobody signed it; pantheon verify --repository will say so.",
                "warn",
            )
