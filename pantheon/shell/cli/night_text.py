"""What ``pantheon night`` says: each step while it runs, how it ended, and its exit code."""

from collections.abc import Callable
from datetime import datetime

from pantheon.core.checkpoint import note_text, parse_checkpoint
from pantheon.core.errors import INTERRUPTED
from pantheon.core.outages import BACK, GONE, LOST, STILL_LOST
from pantheon.core.records import TaskOutcome, TaskRecord
from pantheon.core.task import Task
from pantheon.core.window import LandingHours
from pantheon.engine.night import NightSummary, Progress
from pantheon.engine.open_nights import changes_wait
from pantheon.shell.cli.output import Progress as Show
from pantheon.shell.cli.output import emit, emit_json, emit_rows, say
from pantheon.shell.reporting import WrittenReport

SOME_FAILED = 1
WORK_LEFT = 5
GATE_BLOCKED = 6
SERVER_GONE = 4
_SERVER_WORDS = {
    LOST: "the model server is lost, the night waits for it",
    STILL_LOST: "the model server is still lost",
    BACK: "the model server is back, the night goes on",
    GONE: "there will be no model server any more, the night stops",
}
_FINE = frozenset({TaskOutcome.ACCEPTED, TaskOutcome.SKIPPED})


def watch_night(show: Show) -> Callable[[Progress], None]:
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


def tell_opening(landing: LandingHours, now: datetime) -> str:
    """Return when the merge window opens, as its clock on the wall says it."""
    if landing.are_open(now):
        return "which is open"
    return f"which opens {landing.span(now).opens_at.astimezone(landing.zone):%Y-%m-%d %H:%M %Z}"


def tell_night(
    summary: NightSummary, report: WrittenReport, note: bytes, opens: str, *, as_json: bool
) -> None:
    """Write how a night ended: a sentence, what landed, what did not, and where to look; or JSON."""
    checkpoint = parse_checkpoint(note_text(note))
    if as_json:
        emit_json(
            {
                "night": summary.night,
                "branch": summary.branch,
                "outcomes": dict(summary.outcomes),
                "wall_s": round(summary.wall_s, 3),
                "to_land": summary.to_land,
                "carried_over": list(summary.carried_over),
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
    if count := len(summary.carried_over):
        waits = "1 of them waits" if count == 1 else f"{count} of them wait"
        emit(f"{waits} for the next night, which takes up by itself what was not reached.")
    if summary.outcomes.get(TaskOutcome.ACCEPTED):
        emit(f"Look at it: git diff HEAD...{summary.branch}")
    emit(f"Report: {report.html}")
    emit(f"Checkpoint: {checkpoint.size} records, root {checkpoint.root}")


def _name(task: TaskRecord) -> str:
    return " ".join(_targets(task)) or task.key


def _targets(task: TaskRecord) -> list[str]:
    return list(Task.model_validate_json(task.line).targets)


def exit_code(summary: NightSummary) -> int:
    """Return the exit code of a night (README)."""
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
