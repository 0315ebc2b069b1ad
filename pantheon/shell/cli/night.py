"""``pantheon night``: one night over the pending batches, now, in the foreground."""

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime

import click

from pantheon.core.errors import INTERRUPTED
from pantheon.shell.cli.context import Session, json_option, run_async, session_option
from pantheon.shell.cli.output import say
from pantheon.shell.containment_wiring import contain
from pantheon.shell.night_word_wiring import refusal_file
from pantheon.shell.window_wiring import Bounds, bounds_of_window, window_opened

TIME = click.DateTime(["%H:%M", "%Y-%m-%dT%H:%M:%S%z"])
"""A local time of day, or an instant."""


@click.command("night")
@click.option(
    "--accept-drift", default="", metavar="REASON", help="Work batches whose pinned content has changed."
)
@click.option(
    "--until",
    type=TIME,
    metavar="HH:MM",
    help="Start nothing more after this local time; or an instant, 2026-11-22T05:45:00+01:00.",
)
@click.option(
    "--finish-by",
    type=TIME,
    metavar="HH:MM",
    help="Start nothing that is not expected to be finished by then; without it, by --until.",
)
@click.option(
    "--window", is_flag=True, help="Keep the window of policies/night.toml, and refuse outside of it."
)
@click.option(
    "--stop-within",
    "stop_s",
    type=click.IntRange(90, 3_600),
    metavar="SECONDS",
    help="On SIGTERM or Ctrl-C, let what runs finish in all of this but the last minute, then stop.",
)
@click.option(
    "--left-before",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    metavar="INSTANT",
    help="Of what closed nights have not reached, take only what those have left that began before it; else all.",
)
@click.option("--land-only", is_flag=True, help="Only land what was allowed; begin nothing else.")
@json_option
@session_option
def command(
    session: Session,
    accept_drift: str,
    until: datetime | None,
    finish_by: datetime | None,
    window: bool,
    stop_s: int | None,
    left_before: datetime | None,
    land_only: bool,
    as_json: bool,
) -> int:
    """Work the queue now, in the foreground; running it again resumes an interrupted night.

    Ends with 0 when every task was accepted or had nothing to do, 1 when some failed, 5 when its window or budget
    ended with work left, 6 when the gate denied all that reached it, 130 when it was interrupted or drained.

    Example: pantheon night --until 06:30
    """
    if window and (until or finish_by):
        raise click.UsageError("say --window, or --until and --finish-by")
    project, user = session.project(), session.user_paths()
    # Only a daemon says this, and only a daemon reads why a night was refused.
    word = nullcontext() if left_before is None else refusal_file(project).kept()
    try:
        with word:
            bounds = bounds_of_window(project) if window else Bounds(until, finish_by)
            # A timer that goes off twice in a window is no person who wants more than its night's budget.
            left = left_before or (window_opened(project) if window else None)
            if land_only:
                bounds = replace(bounds, land_only=True)
            contained = contain(project, session.command_line)
            # The process outside ends here with the one inside, and has loaded nothing that it does not need.
            from pantheon.shell.cli.night_work import run_night

            return run_async(
                lambda: run_night(
                    project,
                    user,
                    accept_drift=accept_drift,
                    bounds=bounds,
                    stop_s=stop_s,
                    left_before=left,
                    as_json=as_json,
                    contained=contained,
                )
            )
    except asyncio.CancelledError:
        say("interrupted; pantheon night goes on where this one stopped", "warn")
        return INTERRUPTED
