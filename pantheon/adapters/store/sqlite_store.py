"""``ports.store.Store`` over SQLite: one writer with group commits, readers of their own.

Invariants:
- a write is durable when its call returns; writes of concurrent callers share a commit;
- times and JSON are made before a command is handed over, so that a bad value fails its caller at once.
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from pantheon.adapters.finishing import finish
from pantheon.adapters.store import commands, leases, orders
from pantheon.adapters.store.failures import translated
from pantheon.adapters.store.group import GroupConnection, Groups
from pantheon.adapters.store.opening import open_reading, open_writing, quick_check
from pantheon.adapters.store.reader import Reader
from pantheon.adapters.store.rows import json_text, time_text
from pantheon.adapters.store.writer import Writer, closed_error
from pantheon.core import lifecycle
from pantheon.core.errors import StoreError, TransitionError
from pantheon.core.orders import Order, Verb
from pantheon.core.records import (
    AttemptFigures,
    AttemptRecord,
    AttemptResult,
    BatchRecord,
    Conclusion,
    Counts,
    EventRecord,
    Lease,
    NightRecord,
    NightState,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
    storable_text,
)
from pantheon.ports.clock import Clock

BUSY_TIMEOUT_S = 10.0
Result = TypeVar("Result")


async def open_store(
    path: Path, clock: Clock, *, write: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S
) -> "SqliteStore":
    """Open the store at ``path``; close it with ``aclose``.

    Args:
        path: the database file; made when missing and ``write``.
        clock: times of records and leases.
        write: False refuses every write, and never makes or migrates the file.
        busy_timeout_s: seconds that a call waits for another process's write.

    Raises:
        StoreError: no store there, another program's file, a newer schema, damage, no right, a lock.
    """
    if not write:
        reading = await open_reading(path, busy_timeout_s=busy_timeout_s)
        return SqliteStore(path, clock, Reader(reading, path), (reading,), None)
    groups: Groups = Groups()
    writing = await open_writing(path, groups, busy_timeout_s=busy_timeout_s)
    try:
        reading = await open_reading(path, busy_timeout_s=busy_timeout_s)
    except BaseException:
        await finish(writing.close(), name="store close")
        raise
    writer = Writer(writing, groups, path)
    return SqliteStore(path, clock, Reader(reading, path), (reading, writing), writer)


class SqliteStore:
    """The store; made by ``open_store``."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        reader: Reader,
        connections: tuple[aiosqlite.Connection, ...],
        writer: Writer | None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._reader = reader
        self._connections = connections
        self._writer = writer
        self._closed = False

    async def add_batch(self, batch: BatchRecord, tasks: Sequence[TaskRecord]) -> bool:
        for task in tasks:
            if task.batch != batch.name or task.night is not None or task.outcome is not None:
                raise TransitionError(f"task {task.key} is not a fresh task of batch {batch.name}")
        return await self._write(partial(commands.add_batch, at=self._now(), batch=batch, tasks=tasks))

    async def open_night(self, night: NightRecord, tasks: Sequence[str]) -> int:
        if night.state is not NightState.RUNNING:
            raise TransitionError(f"night {night.id} cannot be opened as {night.state}")
        return await self._write(partial(commands.open_night, at=self._now(), night=night, tasks=tasks))

    async def close_night(self, night: str, summary: dict[str, Any], *, carry: Sequence[str] = ()) -> None:
        text = json_text(summary)
        await self._write(
            partial(commands.close_night, at=self._now(), night=night, summary=text, carry=carry)
        )

    async def add_nodes(self, nodes: Sequence[NodeRecord]) -> None:
        for node in nodes:
            if node.state not in lifecycle.INITIAL:
                raise TransitionError(f"node {node.key} cannot be added as {node.state}")
        await self._write(partial(commands.add_nodes, nodes=nodes))

    async def make_ready(self, night: str, nodes: Sequence[str]) -> None:
        await self._write(partial(commands.make_ready, at=self._now(), night=night, nodes=nodes))

    async def claim(self, night: str, node: str, *, owner: str, lease_s: float) -> Lease:
        now = self._clock.now()
        expires_at = now + timedelta(seconds=lease_s)
        attempt, token = await self._write(
            leases.Claim(time_text(now), night, node, owner, time_text(expires_at))
        )
        return Lease(night=night, node=node, attempt=attempt, token=token, owner=owner, expires_at=expires_at)

    async def renew(self, lease: Lease, *, lease_s: float) -> Lease:
        expires_at = self._clock.now() + timedelta(seconds=lease_s)
        await self._write(partial(leases.renew, lease=lease, expires_at=time_text(expires_at)))
        return lease.model_copy(update={"expires_at": expires_at})

    async def settle(
        self, lease: Lease, result: AttemptResult, *, conclusion: Conclusion | None = None
    ) -> None:
        lifecycle.advance(NodeState.RUNNING, result.node_state)
        metrics = json_text(result.metrics)
        if not result.cause.isascii():
            result = result.model_copy(update={"cause": storable_text(result.cause)})
        if conclusion is not None and not conclusion.cause.isascii():
            conclusion = conclusion.model_copy(update={"cause": storable_text(conclusion.cause)})
        await self._write(leases.Settle(self._now(), lease, result, metrics, conclusion))

    async def end_nodes(self, night: str, nodes: Sequence[str], state: NodeState, cause: str) -> None:
        if state not in lifecycle.ENDS_WITHOUT_ATTEMPT:
            raise TransitionError(f"a node that never ran cannot end as {state}")
        cause = storable_text(cause)
        await self._write(
            partial(commands.end_nodes, at=self._now(), night=night, nodes=nodes, state=state, cause=cause)
        )

    async def finish_task(self, night: str, task: str, outcome: TaskOutcome, cause: str) -> None:
        cause = storable_text(cause)
        await self._write(
            partial(
                commands.finish_task,
                at=self._now(),
                night=night,
                task=task,
                outcome=outcome.value,
                cause=cause,
            )
        )

    async def sweep(self, night: str, *, expired_only: bool = True) -> tuple[str, ...]:
        return await self._write(
            partial(leases.sweep, at=self._now(), night=night, expired_only=expired_only)
        )

    async def add_event(
        self, night: str, subject: str, name: str, details: dict[str, Any] | None = None
    ) -> None:
        text = json_text(details or {})
        await self._write(
            partial(commands.record, at=self._now(), night=night, subject=subject, name=name, details=text)
        )

    async def add_order(
        self, verb: Verb, *, night: str = "", batch: str = "", task: str = "", reason: str, by: str
    ) -> Order | None:
        order = self._order(verb, night=night, batch=batch, task=task, reason=reason, by=by)
        return await self._write(partial(orders.add_order, order=order))

    async def requeue(
        self, task: str, *, night: str | None = None, from_node: str | None = None, reason: str, by: str
    ) -> tuple[str, ...]:
        order = self._order(Verb.REQUEUE, task=task, reason=reason, by=by)
        return await self._write(partial(orders.requeue, order=order, night=night, from_node=from_node))

    async def orders(self, night: str, *, after: int = 0) -> tuple[Order, ...]:
        return await self._open_reader().orders(night, after)

    async def counts(self, night: str | None = None) -> Counts:
        return await self._open_reader().counts(night)

    async def measure_attempts(self, night: str) -> AttemptFigures:
        return await self._open_reader().measure_attempts(night)

    async def batches(self) -> tuple[BatchRecord, ...]:
        return await self._open_reader().batches()

    async def tasks(
        self,
        *,
        night: str | None = None,
        pending: bool = False,
        after: str | None = None,
        limit: int | None = None,
    ) -> tuple[TaskRecord, ...]:
        return await self._open_reader().tasks(night, pending, after, limit)

    async def nights(self) -> tuple[NightRecord, ...]:
        return await self._open_reader().nights()

    async def nodes(self, night: str) -> tuple[NodeRecord, ...]:
        return await self._open_reader().nodes(night)

    async def attempts(self, night: str) -> tuple[AttemptRecord, ...]:
        return await self._open_reader().attempts(night)

    async def events(
        self, night: str, *, after: int = 0, limit: int = 1000, name: str | None = None
    ) -> tuple[EventRecord, ...]:
        return await self._open_reader().events(night, after, limit, name)

    async def check(self) -> None:
        """Read the whole database. Raises ``StoreError`` when it is damaged; nothing is repaired."""
        self._open_reader()
        with translated(self._path):
            await quick_check(self._connections[0], self._path)

    async def aclose(self) -> None:
        self._closed = True
        await finish(self._close_all(), name="store close")

    async def _close_all(self) -> None:
        async with AsyncExitStack() as closing:
            # Called back in reverse: the connection for writing goes last and takes its log along.
            for connection in reversed(self._connections):
                closing.push_async_callback(self._close, connection)
            if self._writer is not None:
                await self._writer.aclose()

    async def _close(self, connection: aiosqlite.Connection) -> None:
        with translated(self._path):
            await connection.close()

    def _order(self, verb: Verb, *, reason: str, by: str, **subject: str) -> Order:
        reason, by = storable_text(reason), storable_text(by)
        return Order(seq=1, at=self._clock.now(), verb=verb, reason=reason, by=by, **subject)

    def _now(self) -> str:
        return time_text(self._clock.now())

    def _open_reader(self) -> Reader:
        if self._closed:
            raise closed_error(self._path)
        return self._reader

    async def _write(self, command: Callable[[GroupConnection], Result]) -> Result:
        if self._closed:
            raise closed_error(self._path)
        if self._writer is None:
            raise StoreError(
                f"the store {self._path} is open for reading only", hint="open it with write=True"
            )
        return await self._writer.submit(command)
