"""``pantheon night``: one night over the pending batches, now, in the foreground."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, time, timedelta

import click

from pantheon.core.checkpoint import note_text, parse_checkpoint
from pantheon.core.contained import Contained
from pantheon.core.containment import ContainmentStatement
from pantheon.core.outages import BACK, GONE, LOST, STILL_LOST
from pantheon.core.records import TaskOutcome, TaskRecord
from pantheon.core.task import Task
from pantheon.core.window import LandingHours
from pantheon.engine.custody import refuse_other_model
from pantheon.engine.ledger_opening import record_containment
from pantheon.engine.night import Night, NightSummary, Progress
from pantheon.engine.open_nights import changes_wait, count_to_land
from pantheon.engine.pool_log import pool_logged
from pantheon.engine.preflight import NightPlan, prepare_night
from pantheon.shell.cli.context import Session, json_option, run_async, session_option
from pantheon.shell.cli.output import Progress as Show
from pantheon.shell.cli.output import emit, emit_json, emit_rows, progress, say
from pantheon.shell.config import Project, UserPaths
from pantheon.shell.containment_wiring import contain
from pantheon.shell.hours_wiring import landing_hours
from pantheon.shell.night_wiring import NightServices, open_night_services
from pantheon.shell.queue_wiring import model_in_force, pins_in_force, refuse_lost_store
from pantheon.shell.reporting import WrittenReport, write_report
from pantheon.shell.server_wiring import ServerLog
from pantheon.shell.signer_wiring import open_night_ledger

SOME_FAILED = 1
WORK_LEFT = 5
GATE_BLOCKED = 6
INTERRUPTED = 130
SERVER_GONE = 4
_SERVER_WORDS = {
    LOST: "the model server is lost, the night waits for it",
    STILL_LOST: "the model server is still lost",
    BACK: "the model server is back, the night goes on",
    GONE: "there will be no model server any more, the night stops",
}
_FINE = frozenset({TaskOutcome.ACCEPTED, TaskOutcome.SKIPPED})


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


async def run_night(
    project: Project,
    user: UserPaths,
    *,
    accept_drift: str,
    until: datetime | None,
    land_only: bool,
    as_json: bool,
    contained: ContainmentStatement,
) -> int:
    """Run one night and say how it ended; returns the exit code.

    Args:
        project: the configured repository.
        user: the user's own folders.
        accept_drift: the operator's reason to work batches whose pinned content has changed; empty refuses.
        until: local time of day at which the window ends; None for no end.
        land_only: whether nothing but merges may start.
        as_json: whether the summary is JSON.
        contained: how the night was proven to be kept on this machine, to be attested.
    """
    log = ServerLog(project)
    async with open_night_services(project, user, say=say) as opened:
        await refuse_lost_store(project, opened.services.store, opened.queue)
        pins = pins_in_force(project, opened.services.content)
        landing = landing_hours(opened.services.content.night_policy)
        now = opened.services.clock.now()
        plan = await prepare_night(
            opened.services,
            opened.queue,
            pins,
            branch_prefix=project.config.night.branch_prefix,
            accepted_because=accept_drift,
            merges_open=landing is None or landing.are_open(now),
            land_only=land_only,
        )
        if plan is None:
            waits = await count_to_land(opened.services.store)
            if waits and landing is not None:
                say(f"{changes_wait(waits)} for the merge window, {_opening(landing, now)}.")
            else:
                say("Nothing waits for a night. Queue something with: pantheon enqueue FILE")
            if as_json:
                emit_json({"night": None, "outcomes": {}, "tasks": [], "to_land": waits})
            return WORK_LEFT if waits else 0
        model = await model_in_force(project, pins, opened.services.model)
        store = opened.services.store
        changed = await refuse_other_model(store, plan.record.id, model, accepted_because=accept_drift)
        plan = replace(plan, drift=(*plan.drift, *changed))
        async with open_night_ledger(
            project,
            user,
            plan.record,
            opened.services.content.reviewers,
            signer=opened.signer,
            clock=opened.services.clock,
        ) as ledger:
            said = Contained(containment=contained, sandbox=opened.sandbox, model=model)
            await record_containment(ledger, store, plan.record, said)
            services = replace(opened.services, open_ledger=ledger)
            opened = replace(opened, services=services)
            async with pool_logged(services.model, store, services.clock, plan.record.id):
                summary = await _watched(project, opened, plan, until, landing=landing, land_only=land_only)
        await log.keep(opened.services.artifacts, summary.night, opened.services.clock.now())
        report = await write_report(project, opened.services.store, summary.night)
    opens = "" if landing is None else _opening(landing, opened.services.clock.now())
    _tell(summary, report, ledger.note, opens, as_json=as_json)
    return _exit_code(summary)


async def _watched(
    project: Project,
    opened: NightServices,
    plan: NightPlan,
    until: datetime | None,
    *,
    landing: LandingHours | None,
    land_only: bool,
) -> NightSummary:
    """Run the night with a progress display; the first interrupt drains it, the second cancels it."""
    for problem in plan.left_aside:
        say(f"left aside: queue/{problem.batch}: {problem.why}", "warn")
    for change in plan.drift:
        say(f"accepted drift: {change}", "warn")
    say(f"{'resuming' if plan.resumed else 'starting'} night {plan.record.id}")
    stopping = asyncio.Event()
    with progress("night") as show:
        night = Night(
            services=opened.services,
            slots=project.config.slots,
            paced=project.config.paced,
            owner=opened.owner,
            lease_s=float(project.config.night.lease_s),
            watch=_watcher(show),
            stopping=stopping,
            ends_at=None if until is None else end_of_window(opened.services.clock.now(), until),
            landing=landing,
            land_only=land_only,
            by_level=project.config.night.dispatch == "levels",
        )
        with _drained_by_signals(stopping):
            return await night.run(plan.record, plan.tasks)


def end_of_window(now: datetime, until: datetime) -> datetime:
    """Return the instant that ``--until`` means: an aware one is itself, a naive one is a time of day."""
    return until if until.tzinfo is not None else next_time(now, until.time())


def next_time(now: datetime, of_day: time) -> datetime:
    """Return the next moment, from ``now`` on, at which the local clock shows a time of day."""
    here = now.astimezone()
    # Made from the local date, so that a night over a change of summer time ends when the clock on the wall says so.
    found = datetime.combine(here.date(), of_day).astimezone()
    return found if found > now else datetime.combine(here.date() + timedelta(days=1), of_day).astimezone()


def _watcher(show: Show) -> Callable[[Progress], None]:
    """Return what turns the night's steps into progress, and each task's outcome into a line."""

    def watch(step: Progress) -> None:
        if not step.task:
            say(f"{_SERVER_WORDS.get(step.event, step.event)}: {step.cause}", "warn")
            return
        name = step.task.rpartition("/")[2]
        if step.node:
            show(step.ended, step.total, f"{name} {step.node}")
            if step.event == "again":
                say(f"{name}: {step.node} is tried again: {step.cause}", "dim")
            return
        show(step.ended, step.total, name)
        good = step.event == TaskOutcome.ACCEPTED
        say(f"{name}: {step.event}{': ' if step.cause else ''}{step.cause}", "good" if good else "warn")

    return watch


@contextmanager
def _drained_by_signals(stopping: asyncio.Event) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM drain the night and the second cancel it."""
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()

    def interrupt() -> None:
        if stopping.is_set() and main is not None:
            main.cancel()
            return
        stopping.set()
        say("finishing what runs; interrupt again to stop at once, pantheon night resumes either way", "warn")

    signals = (signal.SIGINT, signal.SIGTERM)
    for one in signals:
        loop.add_signal_handler(one, interrupt)
    try:
        yield
    finally:
        for one in signals:
            loop.remove_signal_handler(one)


def _opening(landing: LandingHours, now: datetime) -> str:
    """Return when the merge window opens, as its clock on the wall says it."""
    if landing.are_open(now):
        return "which is open"
    return f"which opens {landing.span(now).opens_at.astimezone(landing.zone):%Y-%m-%d %H:%M %Z}"


def _tell(summary: NightSummary, report: WrittenReport, note: bytes, opens: str, *, as_json: bool) -> None:
    checkpoint = parse_checkpoint(note_text(note))
    if as_json:
        emit_json(
            {
                "night": summary.night,
                "branch": summary.branch,
                "outcomes": dict(summary.outcomes),
                "wall_s": round(summary.wall_s, 3),
                "to_land": summary.to_land,
                "report": str(report.html),
                "checkpoint": checkpoint.model_dump(),
                "tasks": [
                    {"key": task.key, "targets": _targets(task), "outcome": task.outcome, "cause": task.cause}
                    for task in summary.tasks
                ],
            }
        )
        return
    emit(report.sentence)
    if summary.server_gone:
        emit("It stopped because its model server was lost for good; pantheon night goes on with it.")
    elif summary.to_land:
        where = f" for the merge window, {opens}" if opens else ""
        emit(
            f"{changes_wait(summary.to_land)}{where}; pantheon night lands what waits, without another review."
        )
    elif summary.left_open:
        emit("It was drained with work left; pantheon night goes on with it.")
    emit(f"Night {summary.night} took {summary.wall_s / 60:.1f} minutes.")
    accepted = [task for task in summary.tasks if task.outcome is TaskOutcome.ACCEPTED]
    emit(f"Accepted: {len(accepted)}")
    emit_rows(("target", "title"), [(_name(task), report.titles.get(task.key)) for task in accepted])
    rest = [task for task in summary.tasks if task.outcome is not TaskOutcome.ACCEPTED]
    emit(f"Not accepted: {len(rest)}")
    emit_rows(
        ("target", "outcome", "cause"), [(_name(task), task.outcome or "open", task.cause) for task in rest]
    )
    if summary.outcomes.get(TaskOutcome.ACCEPTED):
        emit(f"Look at it: git diff HEAD...{summary.branch}")
    emit(f"Report: {report.html}")
    emit(f"Checkpoint: {checkpoint.size} records, root {checkpoint.root}")


def _name(task: TaskRecord) -> str:
    return " ".join(_targets(task)) or task.key


def _targets(task: TaskRecord) -> list[str]:
    return list(Task.model_validate_json(task.line).targets)


def _exit_code(summary: NightSummary) -> int:
    outcomes = summary.outcomes
    if summary.server_gone:
        return SERVER_GONE
    if summary.to_land:
        return WORK_LEFT
    if summary.left_open:
        return INTERRUPTED
    if TaskOutcome.NOT_REACHED in outcomes:
        return WORK_LEFT
    if all(outcome in _FINE for outcome in outcomes):
        return 0
    only_denied = all(outcome in {*_FINE, TaskOutcome.DENIED} for outcome in outcomes)
    return GATE_BLOCKED if only_denied and TaskOutcome.ACCEPTED not in outcomes else SOME_FAILED
