"""Decides what of a closed night the next one takes up by itself, and what of the queue a night may take.

Invariants:
- only what was never decided on goes on: ``not_reached``, and what was blocked by nothing else;
- nothing goes on that could not start there: all that it needs was accepted, or goes along;
- a task that has reached a ceiling of its own, and what needs it, waits for a person: it would end the same way again.

Source: ADR 0021; docs/budgets.md.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from pantheon.core.budget import spent_own_budget
from pantheon.core.records import NightRecord, TaskOutcome, TaskRecord
from pantheon.core.task import Task

CARRIED = frozenset({TaskOutcome.NOT_REACHED, TaskOutcome.BLOCKED})
"""Outcomes in a closed night after which a task may be taken up without anybody's word."""


def needs_of(record: TaskRecord) -> tuple[str, ...]:
    """Return the keys of the tasks that a task needs."""
    return tuple(f"{record.batch}/{need}" for need in Task.model_validate_json(record.line).needs)


def plan_carry_over(tasks: Sequence[TaskRecord], landed: Collection[str] = ()) -> tuple[str, ...]:
    """Return the tasks of a night that the next one takes up, by key and in their order.

    Args:
        tasks: all of the night's, each with its outcome, in queue order.
        landed: tasks whose change is on the night's branch, whatever their outcome says: they are never done again.
    """
    outcomes = {task.key: task.outcome for task in tasks}
    candidates = {
        task.key: needs_of(task)
        for task in tasks
        if task.outcome in CARRIED and task.key not in landed and not spent_own_budget(task.key, task.cause)
    }
    # What an earlier night accepted is not among this one's.
    lost = {
        key: [need for need in needs if outcomes.get(need, TaskOutcome.ACCEPTED) is not TaskOutcome.ACCEPTED]
        for key, needs in candidates.items()
    }
    dead = [
        key
        for key, needs in lost.items()
        if (not needs and outcomes[key] is TaskOutcome.BLOCKED) or any(need not in lost for need in needs)
    ]
    return _without(lost, dead)


def choose_takeable(pending: Sequence[TaskRecord], accepted: Collection[str]) -> tuple[TaskRecord, ...]:
    """Return the pending tasks that a night may take: all that they need is done, or taken with them.

    What needs a task that is held, or that waits for a person, waits with it.

    Args:
        pending: tasks that no night has and nobody holds, in queue order.
        accepted: keys of the tasks that earlier nights accepted.
    """
    needs = {task.key: needs_of(task) for task in pending}
    dead = [
        key
        for key, needed in needs.items()
        if any(one not in needs and one not in accepted for one in needed)
    ]
    kept = frozenset(_without(needs, dead))
    return tuple(task for task in pending if task.key in kept)


def _without(needs: Mapping[str, Sequence[str]], dead: Sequence[str]) -> tuple[str, ...]:
    """Return what is left of the tasks once some are dropped, with all that needs them."""
    behind: dict[str, list[str]] = {}
    for key, needed in needs.items():
        for one in needed:
            behind.setdefault(one, []).append(key)
    dropped, left = set(dead), list(dead)
    while left:
        new = [key for key in behind.get(left.pop(), ()) if key not in dropped]
        dropped.update(new)
        left += new
    return tuple(key for key in needs if key not in dropped)


def leave_to_next_window(
    pending: Sequence[TaskRecord], nights: Sequence[NightRecord], before: datetime | None
) -> tuple[TaskRecord, ...]:
    """Return the pending tasks without those that nights of the same window have left.

    Args:
        pending: tasks that no night has.
        nights: every night.
        before: when the window opened; None leaves nothing out.
    """
    if before is None:
        return tuple(pending)
    late = {night.id for night in nights if night.started_at >= before}
    return tuple(task for task in pending if task.left_by not in late)


def accepted_of(tasks: Sequence[TaskRecord]) -> frozenset[str]:
    """Return the keys of the tasks that were accepted by the night that had them last."""
    return frozenset(task.key for task in tasks if task.outcome is TaskOutcome.ACCEPTED)
