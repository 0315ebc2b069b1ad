"""Each task's story: its nodes and attempts, and the change that landed."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pantheon.core.causes import OPEN
from pantheon.core.records import AttemptRecord, NodeRecord, TaskOutcome, TaskRecord
from pantheon.core.task import Task
from pantheon.core.visible import visible
from pantheon.report.model import AttemptShown, Change, Landed, NodeShown, TaskShown
from pantheon.report.reading import mapping, text

DIGEST_ID = re.compile(r"t-[0-9a-f]{12}")
"""The id of a task whose author gave it none."""


@dataclass(frozen=True)
class Worked:
    """One attempt as the store has it and as it is shown."""

    record: AttemptRecord
    shown: AttemptShown

    @property
    def output(self) -> Mapping[str, Any]:
        """What the store kept of the node's output."""
        return mapping(self.record.result.metrics.get("output")) if self.record.result is not None else {}


def show_task(
    place: int, record: TaskRecord, nodes: Sequence[NodeRecord], worked: Sequence[Worked]
) -> TaskShown:
    """Return one task with its nodes and attempts.

    Args:
        place: number of the task within the night, for its anchor.
        record: the task.
        nodes: its nodes.
        worked: its attempts, oldest first.
    """
    tries: dict[str, list[AttemptShown]] = defaultdict(list)
    for one in worked:
        tries[one.record.node].append(one.shown)
    goal, targets = _read_line(record.line)
    identity = visible(record.key.partition("/")[2] or record.key)
    return TaskShown(
        key=visible(record.key),
        id=identity,
        label=targets[0].rpartition("/")[2] if targets and DIGEST_ID.fullmatch(identity) else identity,
        anchor=f"task-{place}",
        package=text(record.package, 200),
        goal=goal,
        targets=targets,
        outcome=record.outcome or OPEN,
        cause=text(record.cause),
        nodes=tuple(
            NodeShown(
                node=visible(node.node),
                state=node.state.value,
                cause=text(node.cause),
                attempts=tuple(tries.get(node.key, ())),
            )
            for node in nodes
        ),
        problems=sum(len(one.shown.problems) for one in worked),
    )


def _read_line(line: str) -> tuple[str, tuple[str, ...]]:
    try:
        task = Task.model_validate_json(line)
    except ValidationError:
        return "the task's line cannot be read", ()
    return text(task.goal), tuple(visible(target) for target in task.targets)


def land_changes(
    tasks: Sequence[TaskRecord], stories: Sequence[TaskShown], worked: Mapping[str, Sequence[Worked]]
) -> tuple[Landed, ...]:
    """Return the accepted changes by package."""
    packages: dict[str, list[Change]] = defaultdict(list)
    for task, story in zip(tasks, stories, strict=True):
        if task.outcome is TaskOutcome.ACCEPTED:
            packages[story.package].append(_change(story, worked.get(task.key, ())))
    return tuple(Landed(package=name, changes=tuple(changes)) for name, changes in sorted(packages.items()))


def _change(story: TaskShown, worked: Sequence[Worked]) -> Change:
    merged = next((one for one in reversed(worked) if "commit" in one.output), None)
    with_diff = next((one for one in reversed(worked) if one.shown.diff is not None), None)
    source = merged if merged is not None and merged.shown.diff is not None else with_diff
    titles = [one.output["title"] for one in worked if isinstance(one.output.get("title"), str)]
    return Change(
        task=story.key,
        id=story.id,
        title=text(titles[-1], 300) if titles else story.goal,
        commit=text(merged.output["commit"], 64) if merged is not None else "",
        diff=source.shown.diff if source is not None else None,
    )
