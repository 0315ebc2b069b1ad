"""``pantheon night``: one night over the pending batches, now, in the foreground."""

import asyncio
from datetime import datetime

import click

from pantheon.core.errors import INTERRUPTED
from pantheon.shell.cli.context import Session, json_option, run_async, session_option
from pantheon.shell.cli.output import say
from pantheon.shell.containment_wiring import contain


@click.command("night")
@click.option(
    "--accept-drift", default="", metavar="REASON", help="Work batches whose pinned content has changed."
)
@click.option(
    "--until",
    type=click.DateTime(["%H:%M", "%Y-%m-%dT%H:%M:%S%z"]),
    metavar="HH:MM",
    help="Start nothing more after this local time; or an instant, 2026-11-22T05:45:00+01:00.",
)
@click.option("--land-only", is_flag=True, help="Only land what was allowed; begin nothing else.")
@json_option
@session_option
def command(
    session: Session, accept_drift: str, until: datetime | None, land_only: bool, as_json: bool
) -> int:
    """Work the queue now, in the foreground; running it again resumes an interrupted night.

    Ends with 0 when every task was accepted or had nothing to do, 1 when some failed, 5 when its window or budget
    ended with work left, 6 when the gate denied all that reached it, 130 when it was interrupted or drained.

    Example: pantheon night --until 06:30
    """
    project, user = session.project(), session.user_paths()
    contained = contain(project, session.command_line)
    # The process outside ends here with the one inside, and has loaded nothing that it does not need.
    from pantheon.shell.cli.night_work import run_night

    try:
        return run_async(
            lambda: run_night(
                project,
                user,
                accept_drift=accept_drift,
                until=until,
                land_only=land_only,
                as_json=as_json,
                contained=contained,
            )
        )
    except asyncio.CancelledError:
        say("interrupted; pantheon night goes on where this one stopped", "warn")
        return INTERRUPTED
