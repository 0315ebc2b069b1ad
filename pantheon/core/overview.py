"""What ``status`` and ``show`` tell, computed from what the store holds.

Invariants:
- every task is counted once: as pending, or in the night that took it;
- a night is judged by its own tasks and attempts only;
- ``show`` never guesses: a name that fits several tasks is refused with their keys.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pantheon.core.errors import ConfigError
from pantheon.core.model import Frozen
from pantheon.core.orders import Standing
from pantheon.core.outages import Outage
from pantheon.core.policy import SloPolicy
from pantheon.core.pool_record import EndpointCalls
from pantheon.core.records import (
    AttemptFigures,
    AttemptRecord,
    BatchRecord,
    Counts,
    NightRecord,
    NodeRecord,
    TaskOutcome,
    TaskRecord,
)
from pantheon.core.taken_back import TakenBack

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
    to_land: int = 0
    """Allowed changes that wait for the merge window; nothing else is left to do in it until then."""
    tasks: int
    outcomes: Mapping[str, int]
    """Outcome -> tasks; tasks without one yet are under ``open``."""
    nodes: Mapping[str, int]
    """Node state -> nodes."""
    running: tuple[str, ...] = ()
    """Keys of the nodes that run now."""
    taken_back: int = 0
    """Accepted tasks whose change was taken back since."""
    standing: tuple[str, ...] = ()
    """What the operator has ordered: ``paused``, ``draining``, ``tasks held``."""
    objectives: tuple[Objective, ...] = ()
    """For a closed night."""
    outages: int = 0
    """How often its model server was lost."""
    server_lost: str = ""
    """Since when and why its model server is lost now; empty while it is well."""
    endpoints: tuple[EndpointCalls, ...] = ()
    """What each endpoint of its pool did; empty where there was one."""


class Overview(Frozen):
    """All that ``status`` tells."""

    pending_tasks: int
    pending: tuple[PendingBatch, ...]
    left_tasks: int = 0
    """Those of the pending tasks that a closed night has not reached."""
    held_tasks: int = 0
    """Tasks that wait and that an operator holds."""
    unread: tuple[str, ...] = ()
    """Signed batches in the queue's folder that the store does not know; the next night verifies and takes them."""
    to_land: int = 0
    """Allowed changes of all open nights that wait for the merge window."""
    night: NightOverview | None = None
    """The newest night, running or closed."""
    holder: str | None = None
    """The process that runs a night now; None when none does."""
    daemon_trouble: str = ""
    """What the daemon could not do last, where that is newer than the newest night."""


class TaskStory(Frozen):
    """All that ``show`` tells about one task."""

    task: TaskRecord
    night: str | None
    nodes: tuple[NodeRecord, ...]
    attempts: tuple[AttemptRecord, ...]
    taken_back: TakenBack | None = None
    """How its change was taken back after it had landed."""


def summarise_pending(batches: Sequence[BatchRecord], counts: Counts) -> tuple[PendingBatch, ...]:
    """Return the batches that still have work, in queue order."""
    known = {batch.name: batch.label for batch in batches}
    return tuple(
        PendingBatch(name=name, label=known.get(name, ""), tasks=count)
        for name, count in counts.batches.items()
    )


def summarise_night(
    night: NightRecord, counts: Counts, attempts: AttemptFigures | None, standing: Standing, slo: SloPolicy
) -> NightOverview:
    """Return one night in numbers; a closed one is also measured against its objectives.

    Args:
        night: the night.
        counts: its tasks and nodes, counted.
        attempts: its attempts in numbers, for a closed night.
        standing: where the operator's orders leave it.
        slo: what the owner expects.
    """
    outcomes = {outcome.value: count for outcome, count in counts.outcomes.items()}
    if counts.open:
        outcomes["open"] = counts.open
    return NightOverview(
        id=night.id,
        state=night.state.value,
        branch=night.branch,
        started_at=night.started_at,
        closed_at=night.closed_at,
        tasks=sum(outcomes.values()),
        outcomes=dict(sorted(outcomes.items())),
        nodes=dict(sorted((state.value, count) for state, count in counts.nodes.items())),
        running=tuple(lease.node for lease in counts.running),
        standing=_words(standing),
        objectives=() if attempts is None else measure_objectives(counts, attempts, slo),
    )


def add_outages(night: NightOverview, outages: Sequence[Outage]) -> NightOverview:
    """Return the night with what is known of its model server."""
    lasts = night.closed_at is None and bool(outages) and outages[-1].ended_at is None
    lost = f"since {outages[-1].began_at:%H:%M} UTC: {outages[-1].why}" if lasts else ""
    return night.model_copy(update={"outages": len(outages), "server_lost": lost})


def _words(standing: Standing) -> tuple[str, ...]:
    """Return what the operator has ordered, as states."""
    said = {
        "paused": standing.paused,
        "draining": standing.draining,
        "cancelled": standing.cancelled is not None,
        "tasks held": standing.holds_any,
        "tasks cancelled": bool(standing.cancelled_tasks or standing.cancelled_batches),
    }
    return tuple(word for word, true in said.items() if true)


def measure_objectives(counts: Counts, attempts: AttemptFigures, slo: SloPolicy) -> tuple[Objective, ...]:
    """Return each objective with what was measured. Nothing to measure is neither met nor missed."""
    tasks = sum(counts.outcomes.values()) + counts.open
    offered = tasks - counts.outcomes.get(TaskOutcome.SKIPPED, 0)
    share = counts.outcomes.get(TaskOutcome.ACCEPTED, 0) / offered if offered else None
    infrastructure = attempts.broken / attempts.ended if attempts.ended else None
    return (
        _objective("accepted_share", slo.accepted_share, share, least=True),
        _objective("attempt_p95_s", slo.attempt_p95_s, attempts.p95_s, least=False),
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
