"""The writes around attempts: claim, renew, settle, sweep. Rules as in ``commands``."""

from pantheon.adapters.store.commands import finish_task, node_state, record, require_running
from pantheon.adapters.store.group import GroupConnection
from pantheon.adapters.store.rows import json_text
from pantheon.core.errors import LeaseLostError, TransitionError
from pantheon.core.lifecycle import INTERRUPTED_CAUSE
from pantheon.core.records import AttemptOutcome, AttemptResult, Conclusion, Lease, NodeState


def claim(
    db: GroupConnection, at: str, night: str, node: str, owner: str, expires_at: str
) -> tuple[int, int]:
    """Start the next attempt of a node that waits or is ready; returns its number and its fencing token."""
    row = db.execute(
        "UPDATE nodes SET state = 'running', attempts = attempts + 1"
        " WHERE night = ? AND key = ? AND state IN ('waiting', 'ready')"
        " AND EXISTS (SELECT 1 FROM nights WHERE id = nodes.night AND state = 'running')"
        " RETURNING id, attempts",
        (night, node),
    ).fetchone()
    if row is None:
        require_running(db, night)
        raise TransitionError(f"node {node} is {node_state(db, night, node)}, neither waiting nor ready")
    node_id, attempt = row
    token = db.execute(
        "INSERT INTO attempts (node_id, attempt, owner, started_at, expires_at) VALUES (?, ?, ?, ?, ?)",
        (node_id, attempt, owner, at, expires_at),
    ).lastrowid
    if token is None:
        raise TransitionError(f"node {node} was claimed without a fencing token")
    # Put together by hand: a JSON encoder for a dictionary costs as much as a row.
    details = f'{{"attempt":{attempt},"token":{token},"owner":{json_text(owner)}}}'
    record(db, at, night, node, "node.running", details)
    return attempt, token


def renew(db: GroupConnection, lease: Lease, expires_at: str) -> None:
    """Move a current lease's end."""
    moved = db.execute(
        "UPDATE attempts SET expires_at = ? WHERE token = ? AND attempt = ? AND ended_at IS NULL"
        " AND node_id = (SELECT id FROM nodes WHERE night = ? AND key = ?)",
        (expires_at, lease.token, lease.attempt, lease.night, lease.node),
    ).rowcount
    if not moved:
        raise _lost(lease)


def settle(
    db: GroupConnection,
    at: str,
    lease: Lease,
    result: AttemptResult,
    metrics: str,
    conclusion: Conclusion | None,
) -> None:
    """End a current lease's attempt, move its node, conclude its task; saying the same again changes nothing."""
    ended = db.execute(
        "UPDATE attempts SET ended_at = ?, outcome = ?, node_state = ?, cause = ?, output_commit = ?,"
        " artifacts = ?, metrics = ? WHERE token = ? AND attempt = ? AND ended_at IS NULL"
        " AND node_id = (SELECT id FROM nodes WHERE night = ? AND key = ?)",
        (at, *_columns(result, metrics), lease.token, lease.attempt, lease.night, lease.node),
    ).rowcount
    if ended:
        _move(db, at, lease.night, lease.node, lease.attempt, result)
        if conclusion is not None:
            finish_task(db, at, lease.night, conclusion.task, conclusion.outcome.value, conclusion.cause)
        return
    known = db.execute(
        "SELECT outcome, node_state, attempts.cause, attempts.output_commit, artifacts, metrics"
        " FROM attempts JOIN nodes ON nodes.id = node_id"
        " WHERE token = ? AND attempt = ? AND night = ? AND key = ? AND ended_at IS NOT NULL",
        (lease.token, lease.attempt, lease.night, lease.node),
    ).fetchone()
    if known != _columns(result, metrics):
        raise _lost(lease)


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
