"""What ``status`` and ``show`` tell, computed from what the store holds.

Invariants:
- every task is counted once: as pending, or in the night that took it;
- a night is judged by its own tasks and attempts only;
- ``show`` never guesses: a name that fits several tasks is refused with their keys.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from pantheon.core.errors import ConfigError
from pantheon.core.model import Frozen
from pantheon.core.policy import SloPolicy
from pantheon.core.records import (
    AttemptOutcome,
    AttemptRecord,
    BatchRecord,
    NightRecord,
    NodeRecord,
    TaskOutcome,
    TaskRecord,
)

INFRASTRUCTURE = frozenset({AttemptOutcome.CRASHED, AttemptOutcome.INTERRUPTED})
MAX_NAMED = 10


class Objective(Frozen):
    """One promise of ``policies/slo.toml`` beside what a night did."""

    name: str
    wanted: float
    measured: float | None
    """None when the night had nothing to measure it by."""
    met: bool | None


class PendingBatch(Frozen):
    """A batch with tasks that no night has taken."""

    name: str
    label: str
    tasks: int


class NightOverview(Frozen):
    """One night in numbers."""

    id: str
    state: str
    branch: str
    started_at: datetime
    closed_at: datetime | None
    tasks: int
    outcomes: Mapping[str, int]
    """Outcome -> tasks; tasks without one yet are under ``open``."""
    nodes: Mapping[str, int]
    """Node state -> nodes."""
    objectives: tuple[Objective, ...] = ()
    """For a closed night."""


class Overview(Frozen):
    """All that ``status`` tells."""

    pending_tasks: int
    pending: tuple[PendingBatch, ...]
    night: NightOverview | None
    """The newest night, running or closed."""
    holder: str | None = None
    """The process that runs a night now; None when none does."""


class TaskStory(Frozen):
    """All that ``show`` tells about one task."""

    task: TaskRecord
    night: str | None
    nodes: tuple[NodeRecord, ...]
    attempts: tuple[AttemptRecord, ...]


def summarise_pending(
    batches: Sequence[BatchRecord], pending: Sequence[TaskRecord]
) -> tuple[PendingBatch, ...]:
    """Return the batches that still have work, in queue order."""
    counts = Counter(task.batch for task in pending)
    known = {batch.name: batch.label for batch in batches}
    return tuple(PendingBatch(name=n, label=known.get(n, ""), tasks=count) for n, count in counts.items())


def summarise_night(
    night: NightRecord,
    tasks: Sequence[TaskRecord],
    nodes: Sequence[NodeRecord],
    attempts: Sequence[AttemptRecord],
    slo: SloPolicy,
) -> NightOverview:
    """Return one night in numbers; a closed one is also measured against its objectives."""
    outcomes = Counter("open" if task.outcome is None else task.outcome.value for task in tasks)
    return NightOverview(
        id=night.id,
        state=night.state.value,
        branch=night.branch,
        started_at=night.started_at,
        closed_at=night.closed_at,
        tasks=len(tasks),
        outcomes=dict(sorted(outcomes.items())),
        nodes=dict(sorted(Counter(node.state.value for node in nodes).items())),
        objectives=measure_objectives(tasks, attempts, slo) if night.closed_at is not None else (),
    )


def measure_objectives(
    tasks: Sequence[TaskRecord], attempts: Sequence[AttemptRecord], slo: SloPolicy
) -> tuple[Objective, ...]:
    """Return each objective with what was measured. Nothing to measure is neither met nor missed."""
    offered = [task for task in tasks if task.outcome is not TaskOutcome.SKIPPED]
    accepted = sum(task.outcome is TaskOutcome.ACCEPTED for task in offered)
    share = accepted / len(offered) if offered else None
    ended = [attempt for attempt in attempts if attempt.result is not None]
    broken = sum(a.result is not None and a.result.outcome in INFRASTRUCTURE for a in ended)
    lengths = sorted((a.ended_at - a.started_at).total_seconds() for a in ended if a.ended_at is not None)
    p95 = lengths[math.ceil(0.95 * len(lengths)) - 1] if lengths else None
    infrastructure = broken / len(ended) if ended else None
    return (
        _objective("accepted_share", slo.accepted_share, share, least=True),
        _objective("attempt_p95_s", slo.attempt_p95_s, p95, least=False),
        _objective("infrastructure_share", slo.infrastructure_share, infrastructure, least=False),
    )


def find_task(tasks: Sequence[TaskRecord], name: str) -> TaskRecord:
    """Return the task with this key or id, or the only one whose key or id begins so.

    Raises:
        ConfigError: none fits, or several do.
    """
    exact = [task for task in tasks if name in (task.key, _id(task))]
    fitting = exact or [
        task for task in tasks if name and (task.key.startswith(name) or _id(task).startswith(name))
    ]
    if not fitting:
        raise ConfigError(f"no task is called {name!r}", hint="pantheon status says what there is.")
    if len(fitting) > 1:
        named = ", ".join(task.key for task in fitting[:MAX_NAMED])
        more = f" and {len(fitting) - MAX_NAMED} more" if len(fitting) > MAX_NAMED else ""
        raise ConfigError(f"{name!r} fits several tasks: {named}{more}", hint="Say more of the key.")
    return fitting[0]


def _id(task: TaskRecord) -> str:
    return task.key.partition("/")[2]


def _objective(name: str, wanted: float, measured: float | None, *, least: bool) -> Objective:
    met = None if measured is None else measured >= wanted if least else measured <= wanted
    return Objective(name=name, wanted=wanted, measured=measured, met=met)
