"""Rows to records and back: the only place that knows how a value is written in a column.

Invariants: times are aware and written in UTC with microseconds; JSON columns hold strict JSON.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from pantheon.core.errors import StoreError
from pantheon.core.model import Frozen
from pantheon.core.orders import Order
from pantheon.core.records import (
    AttemptRecord,
    AttemptResult,
    BatchRecord,
    EventRecord,
    Lease,
    NightRecord,
    NodeRecord,
    TaskRecord,
)

Row = tuple[Any, ...]
Record = TypeVar("Record", bound=Frozen)
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_encode_rows = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
"""Leaves a lone surrogate as it is, so that SQLite is not handed an escape that it would make bytes of."""


def time_text(at: datetime) -> str:
    """Return the column form of a time. Raises ``StoreError`` when it is not aware."""
    if at.tzinfo is not UTC:
        if at.tzinfo is None:
            raise StoreError(f"a time without a zone cannot be stored: {at.isoformat()}")
        at = at.astimezone(UTC)
    return at.isoformat(timespec="microseconds")


def json_text(value: Any) -> str:
    """Return the column form of a JSON value. Raises ``StoreError`` when it is none."""
    try:
        return _encode(value)
    except (TypeError, ValueError) as error:
        raise StoreError(f"not JSON: {error}") from error


def json_rows(rows: Iterable[Sequence[Any] | str]) -> str:
    """Return rows as the JSON list that a statement for all of them reads.

    Raises:
        ValueError: a text holds a NUL, which SQLite's JSON cuts off.
    """
    text = _encode_rows(list(rows))
    if "\\u0000" in text:
        raise ValueError("a text with a NUL has to be stored by itself")
    return text


BATCH = "SELECT name, digest, label, lines, enqueued_at, path FROM batches ORDER BY rowid"
TASK = (
    "SELECT key, batch, line, package, tasks.night, coalesce(n.outcome, tasks.outcome),"
    " coalesce(n.cause, tasks.cause), tasks.left_by FROM tasks"
    " LEFT JOIN night_tasks AS n ON n.night = tasks.night AND n.task = key WHERE 1"
)
TASK_OF_NIGHT = (
    "SELECT key, batch, line, package, n.night, n.outcome, n.cause, NULL FROM tasks"
    " JOIN night_tasks AS n ON n.task = key WHERE n.night = ?"
)
UNTAKEN = "tasks.night IS NULL AND tasks.outcome IS NULL"
HELD = "(key IN (SELECT task FROM holds) OR batch IN (SELECT batch FROM holds))"
NIGHT = (
    "SELECT id, state, base_commit, branch, started_at, closed_at, summary FROM nights ORDER BY nights.rowid"
)
NODE = (
    "SELECT night, key, task, node, state, needs, output_commit, cause FROM nodes WHERE night = ? ORDER BY id"
)
ATTEMPT = (
    "SELECT nodes.night, nodes.key, attempt, token, owner, started_at, ended_at, outcome, node_state,"
    " attempts.cause, attempts.output_commit, artifacts, metrics"
    " FROM attempts JOIN nodes ON nodes.id = attempts.node_id WHERE nodes.night = ? ORDER BY token"
)
LEASE = (
    "SELECT night, key, attempt, token, owner, expires_at FROM attempts JOIN nodes ON nodes.id = node_id"
    " WHERE ended_at IS NULL AND (? OR night = ?) ORDER BY token"
)
EVENT = (
    "SELECT seq, at, night, subject, name, details FROM events"
    " WHERE night = ? AND seq > ? AND name = coalesce(?, name) ORDER BY seq LIMIT ?"
)
ORDER = (
    "SELECT seq, at, verb, night, batch, task, reason, by FROM orders"
    " WHERE seq > ? AND (night = ? OR verb IN ('hold', 'release')) ORDER BY seq"
)


def read_batch(row: Row) -> BatchRecord:
    """Read a row of ``BATCH``."""
    name, digest, label, lines, enqueued_at, path = row
    return BatchRecord(
        name=name, digest=digest, label=label, lines=lines, enqueued_at=_time(enqueued_at), path=path
    )


def read_task(row: Row) -> TaskRecord:
    """Read a row of ``TASK``."""
    key, batch, line, package, night, outcome, cause, left_by = row
    return TaskRecord(
        key=key,
        batch=batch,
        line=line,
        package=package,
        night=night,
        outcome=outcome,
        cause=cause,
        left_by=left_by,
    )


def read_night(row: Row) -> NightRecord:
    """Read a row of ``NIGHT``."""
    id_, state, base_commit, branch, started_at, closed_at, summary = row
    return NightRecord(
        id=id_,
        state=state,
        base_commit=base_commit,
        branch=branch,
        started_at=_time(started_at),
        closed_at=None if closed_at is None else _time(closed_at),
        summary=json.loads(summary),
    )


def read_node(row: Row) -> NodeRecord:
    """Read a row of ``NODE``."""
    night, key, task, node, state, needs, output_commit, cause = row
    return NodeRecord(
        night=night,
        key=key,
        task=task,
        node=node,
        state=state,
        needs=json.loads(needs),
        output_commit=output_commit,
        cause=cause,
    )


def read_attempt(row: Row) -> AttemptRecord:
    """Read a row of ``ATTEMPT``."""
    (
        night,
        node,
        attempt,
        token,
        owner,
        started_at,
        ended_at,
        outcome,
        state,
        cause,
        commit,
        folder,
        metrics,
    ) = row
    result = None
    if ended_at is not None:
        result = AttemptResult(
            outcome=outcome,
            node_state=state,
            cause=cause,
            output_commit=commit,
            artifacts=folder,
            metrics=json.loads(metrics),
        )
    return AttemptRecord(
        night=night,
        node=node,
        attempt=attempt,
        token=token,
        owner=owner,
        started_at=_time(started_at),
        ended_at=None if ended_at is None else _time(ended_at),
        result=result,
    )


def read_lease(row: Row) -> Lease:
    """Read a row of ``LEASE``."""
    night, node, attempt, token, owner, expires_at = row
    return Lease(
        night=night, node=node, attempt=attempt, token=token, owner=owner, expires_at=_time(expires_at)
    )


def read_event(row: Row) -> EventRecord:
    """Read a row of ``EVENT``."""
    seq, at, night, subject, name, details = row
    return EventRecord(
        seq=seq, at=_time(at), night=night, subject=subject, name=name, details=json.loads(details)
    )


def read_order(row: Row) -> Order:
    """Read a row of ``ORDER``."""
    seq, at, verb, night, batch, task, reason, by = row
    return Order(seq=seq, at=_time(at), verb=verb, night=night, batch=batch, task=task, reason=reason, by=by)


def read_rows(read: Callable[[Row], Record], rows: list[Row]) -> list[Record]:
    """Read rows. Raises ``StoreError`` for one that a damaged or foreign database gave."""
    try:
        return [read(row) for row in rows]
    except (ValidationError, ValueError, TypeError, RecursionError) as error:
        raise StoreError(
            f"the store holds a row that {read.__name__} cannot read: {error}",
            hint="the database was changed from outside or is damaged; restore a copy",
        ) from error


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return found
