"""``pantheon show TASK``: what became of one task, and why."""

from collections.abc import Mapping
from typing import Any

import click
from pydantic import ValidationError

from pantheon.core.canaries import distinct
from pantheon.core.errors import StoreError
from pantheon.core.overview import TaskStory
from pantheon.core.records import AttemptRecord, TaskRecord
from pantheon.core.task import Task
from pantheon.report.canaries import read_canaries
from pantheon.shell.cli.context import Session, json_option, run_async, session_option
from pantheon.shell.cli.output import emit, emit_json, emit_rows
from pantheon.shell.cli.review_show import say_taken_back
from pantheon.shell.config import Project
from pantheon.shell.judging import read_story

_SAID = {"pass": "passed it", "fail": "did not pass it", "none": "not measured"}


@click.command("show")
@click.argument("task")
@json_option
@session_option
def command(session: Session, task: str, as_json: bool) -> None:
    """Tell what became of TASK, and why.

    TASK is a task's id or key (batch/id), or the beginning of one that fits no other.
    """
    project = session.project()
    story = run_async(lambda: read_story(project, task))
    if as_json:
        emit_json(_as_data(project, story))
    else:
        _tell(project, story)


def _line(record: TaskRecord) -> Mapping[str, Any]:
    """Return a task as it was queued. Raises ``StoreError``: the store holds another thing in its place."""
    try:
        return Task.model_validate_json(record.line).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        raise StoreError(
            f"the store holds no task line for {record.key}",
            hint="the database was changed from outside or is damaged; restore a copy",
        ) from error


def _as_data(project: Project, story: TaskStory) -> dict[str, Any]:
    return {
        "key": story.task.key,
        "night": story.night,
        "left_by": story.task.left_by,
        "outcome": story.task.outcome,
        "cause": story.task.cause,
        "taken_back": story.taken_back,
        "task": _line(story.task),
        "nodes": [node.model_dump(mode="json", exclude={"night", "task"}) for node in story.nodes],
        "attempts": [
            {
                **one.model_dump(mode="json", exclude={"night", "token", "owner"}),
                "artifacts": _artifacts(project, one),
            }
            for one in story.attempts
        ],
        "canaries": [
            one.model_dump(mode="json", by_alias=True) for one in distinct(read_canaries(story.attempts))
        ],
    }


def _tell(project: Project, story: TaskStory) -> None:
    record = story.task
    line = _line(record)
    emit(f"{record.key}: {record.outcome or _standing(story)}")
    for label, text in (
        ("because", record.cause or (f"night {record.left_by} has not reached it" if record.left_by else "")),
        ("goal", line.get("goal", "")),
        ("targets", ", ".join(line.get("targets", ()))),
        ("night", story.night or ""),
    ):
        if text:
            emit(f"  {label}: {text}")
    if story.taken_back is not None:
        emit(f"  {say_taken_back(story.taken_back)}")
    if story.nodes:
        emit("")
        emit_rows(
            ("node", "state", "commit", "cause"),
            [(n.node, n.state, (n.output_commit or "")[:12], n.cause) for n in story.nodes],
        )
    if story.attempts:
        emit("")
        emit_rows(
            ("node", "attempt", "outcome", "seconds", "artifacts"),
            [
                (
                    one.node.rpartition("#")[2],
                    one.attempt,
                    _outcome(one),
                    _seconds(one),
                    _artifacts(project, one),
                )
                for one in story.attempts
            ],
        )
    _tell_canaries(story)


def _standing(story: TaskStory) -> str:
    """Return where a task without an outcome stands."""
    if story.task.left_by is not None:
        return "waits for the next night"
    return "waits for a night" if story.night is None else "running"


def _tell_canaries(story: TaskStory) -> None:
    """List the known-bad changes that were put before the reviewers beside the task's own."""
    results = distinct(read_canaries(story.attempts))
    if results:
        emit("")
        emit_rows(
            ("canary before", "number", "spoilt by", "said", "because"),
            [(one.reviewer, one.number, one.kind, _SAID[one.verdict], one.cause) for one in results],
        )


def _outcome(attempt: AttemptRecord) -> str:
    return attempt.result.outcome.value if attempt.result else "running"


def _seconds(attempt: AttemptRecord) -> str:
    return f"{(attempt.ended_at - attempt.started_at).total_seconds():.1f}" if attempt.ended_at else ""


def _artifacts(project: Project, attempt: AttemptRecord) -> str:
    if attempt.result is None or not attempt.result.artifacts:
        return ""
    return f"{project.config.folders.artifacts}/{attempt.result.artifacts}"
