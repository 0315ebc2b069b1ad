"""Counts over indexes and kept counts, so that looking at a large store costs milliseconds and no memory."""

from pathlib import Path
from typing import Any

import aiosqlite

from pantheon.adapters.store.failures import translated
from pantheon.adapters.store.reading import reading
from pantheon.adapters.store.rows import HELD, LEASE, UNTAKEN, read_lease, read_rows
from pantheon.core.records import AttemptFigures, Counts, NodeState, TaskOutcome, p95_place

_UNTAKEN = (
    f"SELECT batch, count(*) FROM tasks WHERE {UNTAKEN} AND batch NOT IN (SELECT batch FROM holds)"
    " GROUP BY batch ORDER BY min(rowid)"
)
_HELD_ALONE = (
    "SELECT batch, count(*) FROM (SELECT DISTINCT task FROM holds) AS h CROSS JOIN tasks ON key = h.task"
    f" WHERE {UNTAKEN} AND batch NOT IN (SELECT batch FROM holds) GROUP BY batch"
)
# Held batches by the index, held tasks one by one: neither reads the tasks that nobody holds.
_HELD = (
    f"SELECT (SELECT count(*) FROM tasks WHERE {UNTAKEN} AND batch IN (SELECT batch FROM holds))"
    " + (SELECT count(*) FROM (SELECT DISTINCT task FROM holds) AS h CROSS JOIN tasks ON key = h.task"
    f" WHERE {UNTAKEN} AND batch NOT IN (SELECT batch FROM holds))"
)
_LEFT = (
    f"SELECT left_by, count(*) FROM tasks WHERE left_by IS NOT NULL AND {UNTAKEN} AND NOT {HELD}"
    " GROUP BY left_by ORDER BY left_by"
)
_CANCELLED_UNTAKEN = (
    "SELECT outcome, count(*) FROM tasks WHERE night IS NULL AND outcome IS NOT NULL GROUP BY outcome"
)
_OUTCOMES_OF_NIGHT = "SELECT outcome, count(*) FROM night_tasks WHERE night = ? GROUP BY outcome"
_OUTCOMES = (
    "SELECT n.outcome, count(*) FROM tasks JOIN night_tasks AS n ON n.task = key AND n.night = tasks.night"
    " GROUP BY n.outcome"
)
_NODES_OF_NIGHT = "SELECT state, nodes FROM node_counts WHERE night = ?"
_NODES = "SELECT state, sum(nodes) FROM node_counts GROUP BY state"
_ENDED = (
    "SELECT count(*), coalesce(sum(outcome IN ('crashed', 'interrupted')), 0)"
    " FROM attempts JOIN nodes ON nodes.id = node_id WHERE night = ? AND ended_at IS NOT NULL"
)
_SECONDS = (
    "SELECT (julianday(ended_at) - julianday(started_at)) * 86400"
    " FROM attempts JOIN nodes ON nodes.id = node_id WHERE night = ? AND ended_at IS NOT NULL"
    " ORDER BY 1 LIMIT 1 OFFSET ?"
)


async def measure_attempts(connection: aiosqlite.Connection, path: Path, night: str) -> AttemptFigures:
    """Return a night's ended attempts in numbers."""
    with translated(path):
        async with reading(connection, _ENDED, (night,)) as cursor:
            [(ended, broken)] = await cursor.fetchall()
        async with reading(connection, _SECONDS, (night, p95_place(ended))) as cursor:
            # A time that SQLite cannot read, which only a changed database has, gives no duration.
            found = [float(row[0]) for row in await cursor.fetchall() if row[0] is not None]
    return AttemptFigures(ended=ended, broken=broken, p95_s=round(found[0], 3) if found else None)


async def read_counts(connection: aiosqlite.Connection, path: Path, night: str | None) -> Counts:
    """Count a night's tasks and nodes, or the whole store's; what no night has taken is counted always."""

    async def fetch(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        async with reading(connection, sql, parameters) as cursor:
            return [tuple(row) for row in await cursor.fetchall()]

    with translated(path):
        waiting = dict(await fetch(_UNTAKEN))
        for batch, count in await fetch(_HELD_ALONE):
            waiting[batch] -= count
        [(held,)] = await fetch(_HELD)
        if night is None:
            outcomes = dict(await fetch(_OUTCOMES))
            for outcome, count in await fetch(_CANCELLED_UNTAKEN):
                outcomes[outcome] = outcomes.get(outcome, 0) + count
            nodes = dict(await fetch(_NODES))
        else:
            outcomes = dict(await fetch(_OUTCOMES_OF_NIGHT, night))
            nodes = dict(await fetch(_NODES_OF_NIGHT, night))
        left = dict(await fetch(_LEFT))
        running = await fetch(LEASE, night is None, night)
    return Counts(
        pending=sum(waiting.values()),
        batches={batch: count for batch, count in waiting.items() if count},
        held=held,
        left=left,
        open=outcomes.pop(None, 0),
        outcomes={TaskOutcome(outcome): count for outcome, count in outcomes.items()},
        nodes={NodeState(state): count for state, count in nodes.items() if count},
        running=tuple(read_rows(read_lease, running)),
    )
