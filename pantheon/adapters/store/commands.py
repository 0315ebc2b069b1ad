"""The writes, as functions on a connection inside a transaction.

Each repeats the lifecycle's guard in its ``WHERE`` and looks at what came of it; a guard that did not hold raises
and the caller's savepoint undoes the rest. Who takes times and makes JSON is the caller.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from pantheon.adapters.store.group import GroupConnection
from pantheon.adapters.store.rows import HELD, UNTAKEN, json_rows, json_text, time_text
from pantheon.core import lifecycle
from pantheon.core.carry_over import CARRIED
from pantheon.core.errors import TransitionError
from pantheon.core.records import BatchRecord, NightRecord, NightState, NodeRecord, NodeState, TaskRecord

_CARRIED = ", ".join(f"'{outcome}'" for outcome in sorted(CARRIED))
ROWS = 10_000
"""Rows that one statement takes."""


def record(db: GroupConnection, at: str, night: str, subject: str, name: str, details: str = "{}") -> None:
    """Add an event."""
    db.events.append((at, night, subject, name, details))


def add_batch(db: GroupConnection, at: str, batch: BatchRecord, tasks: Sequence[TaskRecord]) -> bool:
    """Add a batch with its tasks; False when its name is known."""
    added = db.execute(
        "INSERT INTO batches (name, digest, label, lines, enqueued_at, path) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (name) DO NOTHING",
        (batch.name, batch.digest, batch.label, batch.lines, time_text(batch.enqueued_at), batch.path),
    )
    if added.rowcount == 0:
        return False
    try:
        db.executemany(
            "INSERT INTO tasks (key, batch, line, package, cause) VALUES (?, ?, ?, ?, ?)",
            ((task.key, batch.name, task.line, task.package, task.cause) for task in tasks),
        )
    except sqlite3.IntegrityError as error:
        raise TransitionError(f"batch {batch.name} holds a task that is known already") from error
    record(db, at, "", batch.name, "batch.added", json_text({"tasks": len(tasks)}))
    return True


def open_night(db: GroupConnection, at: str, night: NightRecord, tasks: Sequence[str]) -> int:
    """Add a night, or take up a running one, and give it the tasks that no night has and nobody holds: how many."""
    added = db.execute(
        "INSERT INTO nights (id, state, base_commit, branch, started_at, summary) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO NOTHING",
        (
            night.id,
            NightState.RUNNING.value,
            night.base_commit,
            night.branch,
            time_text(night.started_at),
            json_text(night.summary),
        ),
    ).rowcount
    require_running(db, night.id)
    taken, left = _take_tasks(db, night.id, list(dict.fromkeys(tasks)))
    if added or taken:
        details = {"tasks": taken, "left": left} if left else {"tasks": taken}
        record(db, at, night.id, night.id, "night.opened", json_text(details))
    return taken


def _take_tasks(db: GroupConnection, night: str, tasks: list[str]) -> tuple[int, dict[str, int]]:
    """Give a night its tasks; returns how many, and closed night -> how many of them it had not reached."""
    keys = json_rows(tasks)
    unknown = db.execute(
        "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT key FROM tasks) LIMIT 1", (keys,)
    ).fetchone()
    if unknown is not None:
        raise TransitionError(f"the store has no task {unknown[0]}")
    held = db.execute("SELECT 1 FROM holds LIMIT 1").fetchone() is not None
    free = f"{UNTAKEN}{f' AND NOT {HELD}' if held else ''}"
    left = db.execute(
        "SELECT left_by, count(*) FROM tasks WHERE left_by IS NOT NULL AND key IN (SELECT value FROM json_each(?))"
        f" AND {free} GROUP BY left_by ORDER BY left_by",
        (keys,),
    ).fetchall()
    taken = db.execute(
        "UPDATE tasks SET night = ?, left_by = NULL WHERE key IN (SELECT value FROM json_each(?))"
        f" AND {free} RETURNING key",
        (night, keys),
    ).fetchall()
    db.execute(
        "INSERT INTO night_tasks (night, task, cause) SELECT ?, value, '' FROM json_each(?)",
        (night, json_rows(key for (key,) in taken)),
    )
    return len(taken), dict(left)


def close_night(db: GroupConnection, at: str, night: str, summary: str, carry: Sequence[str] = ()) -> None:
    """Close a running night, and free those of ``carry`` that it has not reached; a closed one stays as it is."""
    closed = db.execute(
        "UPDATE nights SET state = 'closed', closed_at = ?, summary = ? WHERE id = ? AND state = 'running'",
        (at, summary, night),
    ).rowcount
    if closed:
        freed = _carry_over(db, night, carry) if carry else 0
        record(db, at, night, night, "night.closed", json_text({"left": freed} if freed else {}))
    else:
        night_state(db, night)


def _carry_over(db: GroupConnection, night: str, tasks: Sequence[str]) -> int:
    """Let tasks that a night has not reached wait for the next one: how many."""
    return db.execute(
        "UPDATE tasks SET night = NULL, left_by = night WHERE key IN (SELECT value FROM json_each(?)) AND night = ?"
        " AND EXISTS (SELECT 1 FROM night_tasks AS n WHERE n.night = tasks.night AND n.task = key"
        f" AND n.outcome IN ({_CARRIED}))",
        (json_rows(tasks), night),
    ).rowcount


def add_nodes(db: GroupConnection, nodes: Sequence[NodeRecord]) -> None:
    """Add the nodes that their nights do not have."""
    for night in dict.fromkeys(node.night for node in nodes):
        require_running(db, night)
    for start in range(0, len(nodes), ROWS):
        rows = json_rows(
            (one.night, one.key, one.task, one.node, one.state, one.needs, one.output_commit, one.cause)
            for one in nodes[start : start + ROWS]
        )
        db.execute(
            "INSERT INTO nodes (night, key, task, node, state, needs, output_commit, cause)"
            " SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value -> 5, value ->> 6,"
            " value ->> 7 FROM json_each(?) WHERE true ORDER BY key ON CONFLICT (night, key) DO NOTHING",
            (rows,),
        )


def make_ready(db: GroupConnection, at: str, night: str, nodes: Iterable[str]) -> None:
    """Move waiting nodes to ready."""
    require_running(db, night)
    for key in dict.fromkeys(nodes):
        moved = db.execute(
            "UPDATE nodes SET state = 'ready' WHERE night = ? AND key = ? AND state = 'waiting'", (night, key)
        ).rowcount
        if moved:
            record(db, at, night, key, "node.ready")
        elif (state := node_state(db, night, key)) is not NodeState.READY:
            raise TransitionError(f"node {key} is {state}, not waiting")


def end_nodes(
    db: GroupConnection, at: str, night: str, nodes: Iterable[str], state: NodeState, cause: str
) -> None:
    """Move nodes that do not run to ``state``; terminal ones stay."""
    details = json_text({"cause": cause})
    for key in dict.fromkeys(nodes):
        moved = db.execute(
            "UPDATE nodes SET state = ?, cause = ? WHERE night = ? AND key = ? AND state IN ('waiting', 'ready')",
            (state.value, cause, night, key),
        ).rowcount
        if moved:
            record(db, at, night, key, f"node.{state}", details)
        elif node_state(db, night, key) not in lifecycle.TERMINAL:
            raise TransitionError(f"node {key} is running; settle its attempt instead")


def finish_task(db: GroupConnection, at: str, night: str, task: str, outcome: str, cause: str) -> None:
    """Record a task's outcome; the first one stays."""
    moved = db.execute(
        "UPDATE night_tasks SET outcome = ?, cause = ? WHERE task = ? AND night = ? AND outcome IS NULL",
        (outcome, cause, task, night),
    ).rowcount
    if moved:
        record_outcome(db, at, night, task, outcome, cause)
    elif (
        db.execute("SELECT 1 FROM night_tasks WHERE task = ? AND night = ?", (task, night)).fetchone() is None
    ):
        raise TransitionError(f"task {task} is not one of night {night}")


def record_outcome(db: GroupConnection, at: str, night: str, task: str, outcome: str, cause: str) -> None:
    """Add the event of a task's outcome."""
    record(db, at, night, task, f"task.{outcome}", f'{{"cause":{json_text(cause)}}}')


def require_running(db: GroupConnection, night: str) -> None:
    """Raise ``TransitionError`` unless the night runs."""
    if (state := night_state(db, night)) is not NightState.RUNNING:
        raise TransitionError(f"night {night} is {state}")


def night_state(db: GroupConnection, night: str) -> NightState:
    """Return a night's state. Raises ``TransitionError`` when the store has no such night."""
    return NightState(_only(db, "SELECT state FROM nights WHERE id = ?", (night,), f"no night {night}"))


def node_state(db: GroupConnection, night: str, key: str) -> NodeState:
    """Return a node's state. Raises ``TransitionError`` when the night has no such node."""
    sql = "SELECT state FROM nodes WHERE night = ? AND key = ?"
    return NodeState(_only(db, sql, (night, key), f"no node {key} in night {night}"))


def _only(db: GroupConnection, sql: str, parameters: tuple[Any, ...], missing: str) -> Any:
    row = db.execute(sql, parameters).fetchone()
    if row is None:
        raise TransitionError(f"the store has {missing}")
    return row[0]
