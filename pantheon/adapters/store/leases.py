"""The writes around attempts: claim, renew, settle, sweep. Rules as in ``commands``.

Claims and settlements come in numbers: those of one group are carried out by a few statements over a list in JSON,
which cost a third of one statement each and do not hold the interpreter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pantheon.adapters.store.commands import (
    finish_task,
    node_state,
    record,
    record_outcome,
    require_running,
)
from pantheon.adapters.store.group import ApartError, GroupConnection, Joint
from pantheon.adapters.store.rows import json_rows, json_text
from pantheon.core.errors import LeaseLostError, TransitionError
from pantheon.core.lifecycle import INTERRUPTED_CAUSE
from pantheon.core.records import AttemptOutcome, AttemptResult, Conclusion, Lease, NodeState

_NODE = "nodes.night = j.value ->> 0 AND nodes.key = j.value ->> 1"
_CLAIM_NODES = (
    "UPDATE nodes SET state = 'running', attempts = attempts + 1 FROM json_each(?) AS j"
    f" WHERE {_NODE} AND state IN ('waiting', 'ready') RETURNING id, night, nodes.key"
)
_ADD_ATTEMPTS = (
    "INSERT INTO attempts (node_id, attempt, owner, started_at, expires_at)"
    " SELECT nodes.id, nodes.attempts, j.value ->> 2, j.value ->> 3,"
    f" j.value ->> 4 FROM json_each(?) AS j JOIN nodes ON {_NODE}"
    " RETURNING token, node_id, attempt"
)
_END_ATTEMPTS = (
    "UPDATE attempts SET ended_at = j.value ->> 4, outcome = j.value ->> 5,"
    " node_state = j.value ->> 6, cause = j.value ->> 7,"
    " output_commit = j.value ->> 8, artifacts = j.value ->> 9,"
    " metrics = j.value ->> 10 FROM json_each(?) AS j"
    " WHERE token = j.value ->> 2 AND attempt = j.value ->> 3"
    f" AND ended_at IS NULL AND node_id = (SELECT id FROM nodes WHERE {_NODE})"
)
_MOVE_NODES = (
    "UPDATE nodes SET state = j.value ->> 6, output_commit = j.value ->> 8,"
    f" cause = j.value ->> 7 FROM json_each(?) AS j WHERE {_NODE} AND state = 'running'"
)
_FINISH_TASKS = (
    "UPDATE night_tasks SET outcome = j.value ->> 2, cause = j.value ->> 3"
    " FROM json_each(?) AS j WHERE night_tasks.night = j.value ->> 0"
    " AND night_tasks.task = j.value ->> 1 AND night_tasks.outcome IS NULL"
)


@dataclass(frozen=True, slots=True)
class Claim(Joint):
    """Start the next attempt of a node that waits or is ready; its number and its fencing token come of it."""

    at: str
    night: str
    node: str
    owner: str
    expires_at: str

    def __call__(self, db: GroupConnection) -> tuple[int, int]:
        row = db.execute(
            "UPDATE nodes SET state = 'running', attempts = attempts + 1"
            " WHERE night = ? AND key = ? AND state IN ('waiting', 'ready')"
            " AND EXISTS (SELECT 1 FROM nights WHERE id = nodes.night AND state = 'running')"
            " RETURNING id, attempts",
            (self.night, self.node),
        ).fetchone()
        if row is None:
            require_running(db, self.night)
            state = node_state(db, self.night, self.node)
            raise TransitionError(f"node {self.node} is {state}, neither waiting nor ready")
        node_id, attempt = row
        token = db.execute(
            "INSERT INTO attempts (node_id, attempt, owner, started_at, expires_at) VALUES (?, ?, ?, ?, ?)",
            (node_id, attempt, self.owner, self.at, self.expires_at),
        ).lastrowid
        if token is None:
            raise TransitionError(f"node {self.node} was claimed without a fencing token")
        self._record(db, attempt, token)
        return attempt, token

    @classmethod
    def together(cls, db: GroupConnection, commands: Sequence["Claim"]) -> list[tuple[int, int]]:
        """Claim nodes that differ and are all free."""
        for night in {one.night for one in commands}:
            require_running(db, night)
        rows = json_rows([one.night, one.node, one.owner, one.at, one.expires_at] for one in commands)
        moved = db.execute(_CLAIM_NODES, (rows,)).fetchall()
        if len(moved) != len(commands):
            raise ApartError
        nodes = {node_id: (night, key) for node_id, night, key in moved}
        claimed = {
            nodes[node_id]: (attempt, token)
            for token, node_id, attempt in db.execute(_ADD_ATTEMPTS, (rows,)).fetchall()
        }
        results = [claimed[one.night, one.node] for one in commands]
        for one, (attempt, token) in zip(commands, results, strict=True):
            one._record(db, attempt, token)
        return results

    def _record(self, db: GroupConnection, attempt: int, token: int) -> None:
        # Put together by hand: a JSON encoder for a dictionary costs as much as a row.
        details = f'{{"attempt":{attempt},"token":{token},"owner":{json_text(self.owner)}}}'
        record(db, self.at, self.night, self.node, "node.running", details)


def renew(db: GroupConnection, lease: Lease, expires_at: str) -> None:
    """Move a current lease's end."""
    moved = db.execute(
        "UPDATE attempts SET expires_at = ? WHERE token = ? AND attempt = ? AND ended_at IS NULL"
        " AND node_id = (SELECT id FROM nodes WHERE night = ? AND key = ?)",
        (expires_at, lease.token, lease.attempt, lease.night, lease.node),
    ).rowcount
    if not moved:
        raise _lost(lease)


@dataclass(frozen=True, slots=True)
class Settle(Joint):
    """End a current lease's attempt, move its node, conclude its task; saying the same again changes nothing."""

    at: str
    lease: Lease
    result: AttemptResult
    metrics: str
    conclusion: Conclusion | None

    def __call__(self, db: GroupConnection) -> None:
        lease, columns = self.lease, _columns(self.result, self.metrics)
        ended = db.execute(
            "UPDATE attempts SET ended_at = ?, outcome = ?, node_state = ?, cause = ?, output_commit = ?,"
            " artifacts = ?, metrics = ? WHERE token = ? AND attempt = ? AND ended_at IS NULL"
            " AND node_id = (SELECT id FROM nodes WHERE night = ? AND key = ?)",
            (self.at, *columns, lease.token, lease.attempt, lease.night, lease.node),
        ).rowcount
        if ended:
            _move(db, self.at, lease.night, lease.node, lease.attempt, self.result)
            if (ending := self.conclusion) is not None:
                finish_task(db, self.at, lease.night, ending.task, ending.outcome.value, ending.cause)
            return
        known = db.execute(
            "SELECT outcome, node_state, attempts.cause, attempts.output_commit, artifacts, metrics"
            " FROM attempts JOIN nodes ON nodes.id = node_id"
            " WHERE token = ? AND attempt = ? AND night = ? AND key = ? AND ended_at IS NOT NULL",
            (lease.token, lease.attempt, lease.night, lease.node),
        ).fetchone()
        if known != columns:
            raise _lost(lease)

    @classmethod
    def together(cls, db: GroupConnection, commands: Sequence["Settle"]) -> list[None]:
        """Settle attempts that differ and all still have their leases."""
        rows = json_rows(one._row() for one in commands)
        for statement in (_END_ATTEMPTS, _MOVE_NODES):
            if db.execute(statement, (rows,)).rowcount != len(commands):
                raise ApartError
        for one in commands:
            _record_move(db, one.at, one.lease.night, one.lease.node, one.lease.attempt, one.result)
        concluding = [one for one in commands if one.conclusion is not None]
        if concluding:
            cls._conclude(db, concluding)
        return [None] * len(commands)

    def _row(self) -> list[Any]:
        lease = self.lease
        return [
            lease.night,
            lease.node,
            lease.token,
            lease.attempt,
            self.at,
            *_columns(self.result, self.metrics),
        ]

    @classmethod
    def _conclude(cls, db: GroupConnection, commands: Sequence["Settle"]) -> None:
        endings = [(one, one.conclusion) for one in commands if one.conclusion is not None]
        rows = json_rows(
            [one.lease.night, ending.task, ending.outcome.value, ending.cause] for one, ending in endings
        )
        if db.execute(_FINISH_TASKS, (rows,)).rowcount != len(endings):
            raise ApartError
        for one, ending in endings:
            record_outcome(db, one.at, one.lease.night, ending.task, ending.outcome.value, ending.cause)


def sweep(db: GroupConnection, at: str, night: str, expired_only: bool) -> tuple[str, ...]:
    """End running attempts as interrupted and make their nodes ready; returns the nodes' keys."""
    result = AttemptResult(
        outcome=AttemptOutcome.INTERRUPTED, node_state=NodeState.READY, cause=INTERRUPTED_CAUSE
    )
    rows = db.execute(
        "SELECT token, key, attempt FROM attempts JOIN nodes ON nodes.id = node_id"
        " WHERE ended_at IS NULL AND night = ? AND (NOT ? OR expires_at <= ?) ORDER BY token",
        (night, expired_only, at),
    ).fetchall()
    for token, key, attempt in rows:
        db.execute(
            "UPDATE attempts SET ended_at = ?, outcome = ?, node_state = ?, cause = ?, output_commit = ?,"
            " artifacts = ?, metrics = ? WHERE token = ? AND ended_at IS NULL",
            (at, *_columns(result, "{}"), token),
        )
        _move(db, at, night, key, attempt, result)
    return tuple(key for _, key, _ in rows)


def _move(db: GroupConnection, at: str, night: str, node: str, attempt: int, result: AttemptResult) -> None:
    moved = db.execute(
        "UPDATE nodes SET state = ?, output_commit = ?, cause = ?"
        " WHERE night = ? AND key = ? AND state = 'running'",
        (result.node_state.value, result.output_commit, result.cause, night, node),
    ).rowcount
    if moved != 1:
        raise TransitionError(f"node {node} has a running attempt and is not running")
    _record_move(db, at, night, node, attempt, result)


def _record_move(
    db: GroupConnection, at: str, night: str, node: str, attempt: int, result: AttemptResult
) -> None:
    outcome, cause = result.outcome.value, json_text(result.cause)
    details = f'{{"attempt":{attempt},"outcome":"{outcome}","cause":{cause}}}'
    record(db, at, night, node, f"node.{result.node_state.value}", details)


def _columns(result: AttemptResult, metrics: str) -> tuple[str | None, ...]:
    return (
        result.outcome.value,
        result.node_state.value,
        result.cause,
        result.output_commit,
        result.artifacts,
        metrics,
    )


def _lost(lease: Lease) -> LeaseLostError:
    return LeaseLostError(
        f"attempt {lease.attempt} of node {lease.node} has lost its lease",
        hint="its result is dropped; the node's next attempt counts",
        token=lease.token,
    )
