"""A store in memory that keeps the port's every promise but durability.

It is written apart from the SQLite store on purpose: the two check each other.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pantheon.core import lifecycle
from pantheon.core.carry_over import CARRIED
from pantheon.core.errors import LeaseLostError, TransitionError
from pantheon.core.records import (
    AttemptOutcome,
    AttemptRecord,
    AttemptResult,
    BatchRecord,
    Conclusion,
    Lease,
    NightRecord,
    NightState,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
    storable_text,
)
from pantheon.testing.store_memory import json_copy
from pantheon.testing.store_orders import OrdersMemory


class FakeStore(OrdersMemory):
    """``ports.store.Store`` in memory. ``fail`` makes every later call raise it."""

    async def add_batch(self, batch: BatchRecord, tasks: Sequence[TaskRecord]) -> bool:
        self._check()
        if batch.name in self._batches:
            return False
        keys = {task.key for task in tasks}
        if len(keys) != len(tasks) or not keys.isdisjoint(self._tasks):
            raise TransitionError(f"batch {batch.name} holds a task that is known already")
        for task in tasks:
            if task.batch != batch.name or task.night is not None or task.outcome is not None:
                raise TransitionError(f"task {task.key} is not a fresh task of batch {batch.name}")
        self._batches[batch.name] = batch
        self._tasks.update({task.key: task for task in tasks})
        self._record("", batch.name, "batch.added", {"tasks": len(tasks)})
        return True

    async def open_night(self, night: NightRecord, tasks: Sequence[str]) -> int:
        self._check()
        if night.state is not NightState.RUNNING:
            raise TransitionError(f"night {night.id} cannot be opened as {night.state}")
        known = self._nights.get(night.id)
        if known is not None and known.state is not NightState.RUNNING:
            raise TransitionError(f"night {night.id} is {known.state}")
        self._require(tasks, self._tasks, "task")
        taken = [key for key in dict.fromkeys(tasks) if self._takeable(key)]
        if known is None:
            self._nights[night.id] = night.model_copy(update={"summary": json_copy(night.summary)})
        left = Counter(one for key in taken if (one := self._tasks[key].left_by) is not None)
        for key in taken:
            self._put(self._tasks[key].model_copy(update={"night": night.id, "left_by": None}))
        if known is None or taken:
            told = {"tasks": len(taken), **({"left": dict(sorted(left.items()))} if left else {})}
            self._record(night.id, night.id, "night.opened", told)
        return len(taken)

    async def close_night(self, night: str, summary: dict[str, Any], *, carry: Sequence[str] = ()) -> None:
        self._check()
        summary = json_copy(summary)
        known = self._night(night)
        if known.state is NightState.CLOSED:
            return
        change = {"state": NightState.CLOSED, "closed_at": self.clock.now(), "summary": summary}
        self._nights[night] = known.model_copy(update=change)
        freed = 0
        for key in dict.fromkeys(carry):
            own = self._night_tasks.get((night, key))
            if own is not None and own.outcome in CARRIED and self._tasks[key].night == night:
                fresh = {"night": None, "outcome": None, "cause": "", "left_by": night}
                self._tasks[key] = own.model_copy(update=fresh)
                freed += 1
        self._record(night, night, "night.closed", {"left": freed} if freed else {})

    async def add_nodes(self, nodes: Sequence[NodeRecord]) -> None:
        self._check()
        added: dict[tuple[str, str], NodeRecord] = {}
        for node in nodes:
            self._running_night(node.night)
            if node.state not in lifecycle.INITIAL:
                raise TransitionError(f"node {node.key} cannot be added as {node.state}")
            place = (node.night, node.key)
            if place not in self._nodes and place not in added:
                self._require([node.task], self._tasks, "task")
                added[place] = node
        self._nodes.update(added)

    async def make_ready(self, night: str, nodes: Sequence[str]) -> None:
        self._check()
        self._running_night(night)
        found = [self._node(night, key) for key in dict.fromkeys(nodes)]
        moved = [node for node in found if node.state is not NodeState.READY]
        for node in moved:
            if node.state is not NodeState.WAITING:
                raise TransitionError(f"node {node.key} is {node.state}, not waiting")
        for node in moved:
            self._move(node, NodeState.READY)

    async def claim(self, night: str, node: str, *, owner: str, lease_s: float) -> Lease:
        self._check()
        self._running_night(night)
        found = self._node(night, node)
        if found.state not in lifecycle.sources(NodeState.RUNNING):
            raise TransitionError(f"node {node} is {found.state}, neither waiting nor ready")
        now = self.clock.now()
        self._token += 1
        history = self._attempts.setdefault((night, node), [])
        number, ends = len(history) + 1, now + timedelta(seconds=lease_s)
        lease = Lease(night=night, node=node, attempt=number, token=self._token, owner=owner, expires_at=ends)
        history.append(AttemptRecord(**lease.model_dump(exclude={"expires_at"}), started_at=now))
        self._started.append((night, node, lease.attempt))
        self._leases[night, node] = lease
        self._move(found, NodeState.RUNNING, {"attempt": lease.attempt, "token": lease.token, "owner": owner})
        return lease

    async def renew(self, lease: Lease, *, lease_s: float) -> Lease:
        self._check()
        self._current(lease)
        renewed = lease.model_copy(update={"expires_at": self.clock.now() + timedelta(seconds=lease_s)})
        self._leases[lease.night, lease.node] = renewed
        return renewed

    async def settle(
        self, lease: Lease, result: AttemptResult, *, conclusion: Conclusion | None = None
    ) -> None:
        self._check()
        result = result.model_copy(
            update={"metrics": json_copy(result.metrics), "cause": storable_text(result.cause)}
        )
        lifecycle.advance(NodeState.RUNNING, result.node_state)
        if self._settled_so(lease, result):
            return
        self._current(lease)
        if conclusion is not None:
            self._require(
                [conclusion.task], {task: one for (_, task), one in self._night_tasks.items()}, "task"
            )
        self._end_attempt(lease, result)
        if conclusion is not None:
            await self.finish_task(lease.night, conclusion.task, conclusion.outcome, conclusion.cause)

    async def end_nodes(self, night: str, nodes: Sequence[str], state: NodeState, cause: str) -> None:
        self._check()
        cause = storable_text(cause)
        if state not in lifecycle.ENDS_WITHOUT_ATTEMPT:
            raise TransitionError(f"a node that never ran cannot end as {state}")
        found = [self._node(night, key) for key in dict.fromkeys(nodes)]
        moved = [node for node in found if node.state not in lifecycle.TERMINAL]
        for node in moved:
            if node.state is NodeState.RUNNING:
                raise TransitionError(f"node {node.key} is running; settle its attempt instead")
        for node in moved:
            self._move(node, state, {"cause": cause}, cause=cause)

    async def finish_task(self, night: str, task: str, outcome: TaskOutcome, cause: str) -> None:
        self._check()
        known = self._night_tasks.get((night, task))
        if known is None:
            raise TransitionError(f"task {task} is not one of night {night}")
        if known.outcome is not None:
            return
        cause = storable_text(cause)
        self._put(known.model_copy(update={"outcome": outcome, "cause": cause}))
        self._record(night, task, f"task.{outcome}", {"cause": cause})

    async def sweep(self, night: str, *, expired_only: bool = True) -> tuple[str, ...]:
        self._check()
        now = self.clock.now()
        swept = [
            lease
            for _, lease in sorted(self._leases.items(), key=lambda item: item[1].token)
            if lease.night == night and (not expired_only or lease.expires_at <= now)
        ]
        for lease in swept:
            self._end_attempt(
                lease,
                AttemptResult(
                    outcome=AttemptOutcome.INTERRUPTED,
                    node_state=NodeState.READY,
                    cause=lifecycle.INTERRUPTED_CAUSE,
                ),
            )
        return tuple(lease.node for lease in swept)

    async def add_event(
        self, night: str, subject: str, name: str, details: dict[str, Any] | None = None
    ) -> None:
        self._check()
        self._record(night, subject, name, json_copy(details or {}))

    def _current(self, lease: Lease) -> None:
        current = self._leases.get((lease.night, lease.node))
        if current is None or (current.token, current.attempt) != (lease.token, lease.attempt):
            raise LeaseLostError(f"attempt {lease.attempt} of node {lease.node} has lost its lease")

    def _settled_so(self, lease: Lease, result: AttemptResult) -> bool:
        history = self._attempts.get((lease.night, lease.node), [])
        return any(one.token == lease.token and one.result == result for one in history)

    def _end_attempt(self, lease: Lease, result: AttemptResult) -> None:
        history = self._attempts[lease.night, lease.node]
        place = lease.attempt - 1
        history[place] = history[place].model_copy(update={"ended_at": self.clock.now(), "result": result})
        del self._leases[lease.night, lease.node]
        self._move(
            self._node(lease.night, lease.node),
            result.node_state,
            {"attempt": lease.attempt, "outcome": str(result.outcome), "cause": result.cause},
            output_commit=result.output_commit,
            cause=result.cause,
        )
