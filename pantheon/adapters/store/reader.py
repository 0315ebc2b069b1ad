"""Reads through a connection of its own, so that looking never waits for writing, nor writing for looking."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiosqlite

from pantheon.adapters.store import rows
from pantheon.adapters.store.counting import measure_attempts, read_counts
from pantheon.adapters.store.failures import translated
from pantheon.adapters.store.reading import reading
from pantheon.core.orders import Order
from pantheon.core.records import (
    AttemptFigures,
    AttemptRecord,
    BatchRecord,
    Counts,
    EventRecord,
    NightRecord,
    NodeRecord,
    TaskRecord,
)

CHUNK = 500
"""Rows per visit to the database's thread; between visits the loop serves others."""


class Reader:
    """The port's reading half over a read-only connection.

    Every method sees what was committed before it was called, as one snapshot.
    """

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    async def batches(self) -> tuple[BatchRecord, ...]:
        """Return every batch, oldest first."""
        return await self._fetch(rows.read_batch, rows.BATCH)

    async def tasks(
        self, night: str | None, pending: bool, after: str | None, limit: int | None
    ) -> tuple[TaskRecord, ...]:
        """Return tasks in queue order."""
        sql, parameters = rows.TASK, []
        if night is not None:
            sql = rows.TASK_OF_NIGHT
            parameters.append(night)
        if pending:
            sql += f" AND {rows.UNTAKEN} AND NOT {rows.HELD}"
        if after is not None:
            sql += " AND tasks.rowid > (SELECT rowid FROM tasks WHERE key = ?)"
            parameters.append(after)
        sql += " ORDER BY tasks.rowid LIMIT ?"
        return await self._fetch(rows.read_task, sql, *parameters, -1 if limit is None else max(limit, 0))

    async def orders(self, night: str, after: int) -> tuple[Order, ...]:
        """Return the orders that a night follows."""
        return await self._fetch(rows.read_order, rows.ORDER, after, night)

    async def counts(self, night: str | None) -> Counts:
        """Count a night's tasks and nodes, or the whole store's."""
        return await read_counts(self._connection, self._path, night)

    async def measure_attempts(self, night: str) -> AttemptFigures:
        """Return a night's ended attempts in numbers."""
        return await measure_attempts(self._connection, self._path, night)

    async def nights(self) -> tuple[NightRecord, ...]:
        """Return every night, oldest first."""
        return await self._fetch(rows.read_night, rows.NIGHT)

    async def nodes(self, night: str) -> tuple[NodeRecord, ...]:
        """Return a night's nodes in the order they were added."""
        return await self._fetch(rows.read_node, rows.NODE, night)

    async def attempts(self, night: str) -> tuple[AttemptRecord, ...]:
        """Return a night's attempts in the order they were claimed."""
        return await self._fetch(rows.read_attempt, rows.ATTEMPT, night)

    async def events(
        self, night: str, after: int, limit: int, name: str | None = None
    ) -> tuple[EventRecord, ...]:
        """Return a night's events in order, those of one name only where it is given."""
        return await self._fetch(rows.read_event, rows.EVENT, night, after, name, max(limit, 0))

    async def _fetch(
        self, read: Callable[[rows.Row], rows.Record], sql: str, *parameters: Any
    ) -> tuple[rows.Record, ...]:
        found: list[rows.Record] = []
        with translated(self._path):
            async with reading(self._connection, sql, parameters) as cursor:
                while chunk := await cursor.fetchmany(CHUNK):
                    found += rows.read_rows(read, [tuple(row) for row in chunk])
        return tuple(found)
