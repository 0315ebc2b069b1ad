"""What the store in memory holds, and its reading half."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pantheon.core import lifecycle
from pantheon.core.errors import StoreError, TransitionError
from pantheon.core.orders import OF_EVERY_NIGHT, Order, fold_orders
from pantheon.core.records import (
    AttemptFigures,
    AttemptOutcome,
    AttemptRecord,
    BatchRecord,
    Counts,
    EventRecord,
    Lease,
    NightRecord,
    NightState,
    NodeRecord,
    NodeState,
    TaskRecord,
    p95_place,
)
from pantheon.ports.clock import Clock


@dataclass
class Memory:
    """State and reads. ``fail`` makes every later call raise it."""

    clock: Clock
    fail: StoreError | None = None
    _batches: dict[str, BatchRecord] = field(default_factory=dict)
    _tasks: dict[str, TaskRecord] = field(default_factory=dict)
    _night_tasks: dict[tuple[str, str], TaskRecord] = field(default_factory=dict)
    _nights: dict[str, NightRecord] = field(default_factory=dict)
    _nodes: dict[tuple[str, str], NodeRecord] = field(default_factory=dict)
    _attempts: dict[tuple[str, str], list[AttemptRecord]] = field(default_factory=dict)
    _started: list[tuple[str, str, int]] = field(default_factory=list)
    _leases: dict[tuple[str, str], Lease] = field(default_factory=dict)
    _orders: list[Order] = field(default_factory=list)
    _events: list[EventRecord] = field(default_factory=list)
    _token: int = 0
    _closed: bool = False

    async def batches(self) -> tuple[BatchRecord, ...]:
        self._check()
        return tuple(self._batches.values())

    async def tasks(
        self,
        *,
        night: str | None = None,
        pending: bool = False,
        after: str | None = None,
        limit: int | None = None,
    ) -> tuple[TaskRecord, ...]:
        self._check()
        keys = list(self._tasks)
        if after is not None:
            keys = keys[keys.index(after) + 1 :] if after in keys else []
        found = [self._tasks[key] if night is None else self._night_tasks.get((night, key)) for key in keys]
        chosen = [one for one in found if one is not None and (not pending or self._takeable(one.key))]
        return tuple(chosen if limit is None else chosen[: max(limit, 0)])

    async def nights(self) -> tuple[NightRecord, ...]:
        self._check()
        return tuple(self._nights.values())

    async def nodes(self, night: str) -> tuple[NodeRecord, ...]:
        self._check()
        return tuple(node for node in self._nodes.values() if node.night == night)

    async def attempts(self, night: str) -> tuple[AttemptRecord, ...]:
        self._check()
        return tuple(
            self._attempts[of, node][number - 1] for of, node, number in self._started if of == night
        )

    async def events(
        self, night: str, *, after: int = 0, limit: int = 1000, name: str | None = None
    ) -> tuple[EventRecord, ...]:
        self._check()
        found = (
            event
            for event in self._events
            if event.night == night and event.seq > after and name in (None, event.name)
        )
        return tuple(found)[: max(limit, 0)]

    async def orders(self, night: str, *, after: int = 0) -> tuple[Order, ...]:
        self._check()
        return tuple(
            one
            for one in self._orders
            if one.seq > after and (one.night == night or one.verb in OF_EVERY_NIGHT)
        )

    async def counts(self, night: str | None = None) -> Counts:
        self._check()
        untaken = [one for one in self._tasks.values() if one.night is None]
        held = sum(one.outcome is None and self._held(one.key) for one in untaken)
        of = [one for one in self._night_tasks.values() if one.night == night]
        ended = Counter(one.outcome for one in (self._tasks.values() if night is None else of))
        pending = sum(self._takeable(one.key) for one in untaken)
        leases = [one for one in self._leases.values() if night in (None, one.night)]
        return Counts(
            pending=pending,
            batches=dict(Counter(one.batch for one in untaken if self._takeable(one.key))),
            held=held,
            left=dict(Counter(one.left_by for one in untaken if one.left_by and self._takeable(one.key))),
            open=ended[None] - (pending + held if night is None else 0),
            outcomes={outcome: count for outcome, count in ended.items() if outcome is not None},
            nodes=Counter(one.state for one in self._nodes.values() if night in (None, one.night)),
            running=tuple(sorted(leases, key=lambda lease: lease.token)),
        )

    async def measure_attempts(self, night: str) -> AttemptFigures:
        ended = [one for one in await self.attempts(night) if one.result and one.ended_at]
        seconds = sorted((one.ended_at - one.started_at).total_seconds() for one in ended if one.ended_at)
        broken = {AttemptOutcome.CRASHED, AttemptOutcome.INTERRUPTED}
        return AttemptFigures(
            ended=len(ended),
            broken=sum(one.result is not None and one.result.outcome in broken for one in ended),
            p95_s=round(seconds[p95_place(len(seconds))], 3) if seconds else None,
        )

    async def aclose(self) -> None:
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise StoreError("the store is closed", hint="open it again")
        if self.fail is not None:
            raise self.fail

    def _record(self, night: str, subject: str, name: str, details: dict[str, Any] | None = None) -> None:
        seq, at = len(self._events) + 1, self.clock.now()
        details = details or {}
        self._events.append(
            EventRecord(seq=seq, at=at, night=night, subject=subject, name=name, details=details)
        )

    def _night(self, night: str) -> NightRecord:
        self._require([night], self._nights, "night")
        return self._nights[night]

    def _running_night(self, night: str) -> None:
        state = self._night(night).state
        if state is not NightState.RUNNING:
            raise TransitionError(f"night {night} is {state}")

    def _node(self, night: str, key: str) -> NodeRecord:
        found = self._nodes.get((night, key))
        if found is None:
            raise TransitionError(f"night {night} has no node {key}")
        return found

    def _require(self, keys: Sequence[str], known: dict[str, Any], what: str) -> None:
        for key in keys:
            if key not in known:
                raise TransitionError(f"the store has no {what} {key}")

    def _move(
        self, node: NodeRecord, to: NodeState, details: dict[str, Any] | None = None, **change: Any
    ) -> None:
        lifecycle.advance(node.state, to)
        self._nodes[node.night, node.key] = node.model_copy(update={"state": to, **change})
        self._record(node.night, node.key, f"node.{to}", details)

    def _held(self, key: str) -> bool:
        standing = fold_orders(one for one in self._orders if one.verb in OF_EVERY_NIGHT)
        return bool(standing.hold_cause(key))

    def _takeable(self, key: str) -> bool:
        task = self._tasks[key]
        return task.night is None and task.outcome is None and not self._held(key)

    def _put(self, task: TaskRecord) -> None:
        """Store a task as the night that has it sees it."""
        self._tasks[task.key] = task
        if task.night is not None:
            self._night_tasks[task.night, task.key] = task


def json_copy(value: dict[str, Any]) -> dict[str, Any]:
    try:
        copy: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise StoreError(f"not JSON: {error}") from error
    return copy
