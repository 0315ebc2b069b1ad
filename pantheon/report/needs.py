"""What needs a person in the morning, most urgent first, with commands that can be copied."""

import shlex
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Literal

from pantheon.core.agreement import Agreement, ReviewerRate
from pantheon.core.gate import HELD
from pantheon.core.records import AttemptOutcome, TaskOutcome
from pantheon.report.model import CauseGroup, Need, NightFacts, TaskShown

MAX_COMMANDS = 3
MAX_CAUSES = 3
RUBBER_STAMP = 10
"""Changes a reviewer must have judged before passing all of them is worth a word."""
BROKEN = frozenset({AttemptOutcome.CRASHED, AttemptOutcome.INTERRUPTED, AttemptOutcome.TIMED_OUT})


def rank_needs(
    night: NightFacts,
    tasks: Sequence[TaskShown],
    groups: Sequence[CauseGroup],
    agreement: Sequence[Agreement],
    reviewers: Sequence[ReviewerRate],
    carried_over: Collection[str] = (),
) -> tuple[Need, ...]:
    """Return what a person should look at.

    Args:
        night: the night.
        tasks: all of its tasks.
        groups: the tasks that were not accepted, by cause, largest first.
        agreement: pairs of reviewers.
        reviewers: how often each passed a change.
        carried_over: tasks that the next night takes up by itself.
    """
    held = tuple(_held(tasks))
    disputed = tuple(_disputed(tasks, agreement))
    broken = tuple(_broken(tasks))
    told = {key for need in (*held, *disputed, *broken) for key in need.tasks}
    return (
        *_open_night(night),
        *_gaps(tasks),
        *_merge(night, tasks),
        *held,
        *disputed,
        *broken,
        *_causes(groups, told),
        *_unreached([task for task in tasks if task.key not in carried_over]),
        *_carried_over([task.key for task in tasks if task.key in carried_over]),
        *_stamps(reviewers),
    )


def _show(keys: Sequence[str], command: str = "show") -> tuple[str, ...]:
    return tuple(f"pantheon {command} {shlex.quote(key)}" for key in islice(keys, MAX_COMMANDS))


def _many(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _about(
    keys: Sequence[str],
    urgency: Literal["now", "today", "later"],
    title: str,
    why: str,
    commands: Sequence[str] | None = None,
) -> Iterator[Need]:
    """Tell of some tasks, where there are any; without commands the tasks themselves are to be looked at."""
    if keys:
        yield Need(
            urgency=urgency,
            title=title,
            why=why,
            commands=_show(keys) if commands is None else tuple(commands),
            tasks=tuple(keys),
        )


def _open_night(night: NightFacts) -> Iterator[Need]:
    if night.closed_at is None:
        yield Need(
            urgency="now",
            title="The night is not closed",
            why="It is still running, or it was interrupted; then the same command takes it up where it stands.",
            commands=("pantheon status", "pantheon night"),
        )


def _gaps(tasks: Sequence[TaskShown]) -> Iterator[Need]:
    keys = [task.key for task in tasks if task.outcome == TaskOutcome.ACCEPTED and task.problems]
    return _about(
        keys,
        "now",
        f"{_many(len(keys), 'accepted change has', 'accepted changes have')} gaps in the evidence",
        "Something an attempt must leave behind is missing, torn or unreadable. Look before you merge.",
    )


def _merge(night: NightFacts, tasks: Sequence[TaskShown]) -> Iterator[Need]:
    keys = [task.key for task in tasks if task.outcome == TaskOutcome.ACCEPTED]
    branch = shlex.quote(night.branch)
    since = shlex.quote(f"{night.base_commit[:12]}...{night.branch}")
    return _about(
        keys,
        "now",
        f"Read and merge {_many(len(keys), 'accepted change', 'accepted changes')}",
        f"They are on {night.branch}; nothing of yours was touched.",
        (
            f"git diff --stat {since}",
            f"git diff {since}",
            f"pantheon publish {shlex.quote(night.id)}",
            f"git merge {branch}",
        ),
    )


def _held(tasks: Sequence[TaskShown]) -> Iterator[Need]:
    keys = [task.key for task in tasks if task.outcome == TaskOutcome.DENIED and _is_held(task.cause)]
    return _about(
        keys,
        "today",
        f"{_many(len(keys), 'change is', 'changes are')} held for you",
        "Nothing is against what was made, but a person must look before it may land: no night lands it.",
        _show(keys, "gate explain"),
    )


def _is_held(cause: str) -> bool:
    # Behind the node's name: what stands further on may be from the repository.
    return cause.partition(": ")[2].startswith(HELD)


def _disputed(tasks: Sequence[TaskShown], agreement: Sequence[Agreement]) -> Iterator[Need]:
    disputed = {key for pair in agreement for key in pair.disputed}
    keys = [task.key for task in tasks if task.key in disputed and task.outcome == TaskOutcome.DENIED]
    return _about(
        keys,
        "today",
        f"The reviewers differ on {_many(len(keys), 'change', 'changes')}",
        "One passed it and one did not, so it was denied. You may see at a glance who was right.",
        _show(keys, "review show"),
    )


def _broken(tasks: Sequence[TaskShown]) -> Iterator[Need]:
    keys = [
        task.key
        for task in tasks
        if task.outcome != TaskOutcome.ACCEPTED
        and any(one.facts.outcome in BROKEN for node in task.nodes for one in node.attempts)
    ]
    return _about(
        keys,
        "today",
        f"{_many(len(keys), 'task', 'tasks')} met something broken, not something wrong",
        "An attempt crashed, was cut off or ran out of time: look at the machine before the work.",
        ("pantheon doctor", *_show(keys)[:1]),
    )


def _causes(groups: Sequence[CauseGroup], told: Collection[str]) -> Iterator[Need]:
    """Name the largest causes among tasks that were not told of before."""
    work = [
        (group, tuple(one for one in group.tasks if one[0] not in told))
        for group in groups
        if group.outcome in (TaskOutcome.DENIED, TaskOutcome.FAILED)
    ]
    for group, left in islice(((group, left) for group, left in work if left), MAX_CAUSES):
        who = f"{left[0][1]} was" if len(left) == 1 else f"{len(left)} tasks were"
        what = f"{who} denied" if group.outcome == TaskOutcome.DENIED else f"{who.rpartition(' ')[0]} failed"
        keys = tuple(key for key, _, _ in left)
        yield from _about(
            keys,
            "today",
            f"{what}: {left[0][2] or group.cause if len(left) == 1 else group.cause}",
            "Mend the cause, or reword the task, and queue it again.",
            _show(keys, "gate explain" if group.outcome == TaskOutcome.DENIED else "show")[:1],
        )


def _unreached(tasks: Sequence[TaskShown]) -> Iterator[Need]:
    idle = (TaskOutcome.NOT_REACHED, TaskOutcome.BLOCKED, TaskOutcome.CANCELLED)
    keys = [task.key for task in tasks if task.outcome in idle]
    return _about(
        keys,
        "later",
        f"{_many(len(keys), 'task was', 'tasks were')} not worked on",
        "Not reached, cancelled, or blocked by a task that was not accepted. Queue them again.",
        _show(keys)[:1],
    )


def _carried_over(keys: Sequence[str]) -> Iterator[Need]:
    return _about(
        keys,
        "later",
        f"{_many(len(keys), 'task that was not reached waits', 'tasks that were not reached wait')} for the next night",
        "Time, a budget of the night or the model server ended first. The next night takes them up by itself, from "
        "their beginning; nothing has to be queued again.",
        ("pantheon status", *_show(keys)[:1]),
    )


def _stamps(reviewers: Sequence[ReviewerRate]) -> Iterator[Need]:
    for one in reviewers:
        if one.passed.hits == one.passed.total >= RUBBER_STAMP:
            yield Need(
                urgency="later",
                title=f"{one.reviewer} passed all {one.passed.total} changes it judged",
                why="That may be right. A reviewer that never objects tells little; sample some of them.",
            )
