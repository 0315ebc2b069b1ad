"""The writes of an operator: orders and requeues. Rules as in ``commands``."""

from pantheon.adapters.store import rows
from pantheon.adapters.store.commands import night_state, record, require_running
from pantheon.adapters.store.group import GroupConnection
from pantheon.adapters.store.rows import json_text
from pantheon.core import lifecycle
from pantheon.core.errors import TransitionError
from pantheon.core.orders import Order, Verb, cancel_cause, changes, check_order, fold_orders
from pantheon.core.records import NightState, TaskOutcome
from pantheon.core.requeue import plan_requeue


def add_order(db: GroupConnection, order: Order) -> Order | None:
    """Carry out an order on what no night has, and add it; None when it changes nothing."""
    check_order(order)
    _require_subject(db, order)
    order = order.model_copy(update={"night": order.night or _night_of(db, order)})
    if order.night:
        require_running(db, order.night)
    changed = _cancel_untaken(db, order) if order.verb is Verb.CANCEL else False
    if not changed and not _changes(db, order):
        return None
    return _add(db, order)


def requeue(db: GroupConnection, order: Order, night: str | None, from_node: str | None) -> tuple[str, ...]:
    """Take up a task again; returns the nodes of a running night, or the tasks that wait for the next one."""
    row = db.execute("SELECT night, outcome, left_by FROM tasks WHERE key = ?", (order.task,)).fetchone()
    if row is None:
        raise TransitionError(f"the store has no task {order.task}")
    has, outcome, left_by = row
    if night is not None and has != night:
        raise TransitionError(f"night {night} does not have task {order.task}; {has or 'no night'} has")
    order = order.model_copy(update={"night": has or ""})
    if has is None:
        return _requeue_untaken(db, order, outcome, left_by)
    outcomes = {
        task: None if ended is None else TaskOutcome(ended)
        for task, ended in db.execute("SELECT task, outcome FROM night_tasks WHERE night = ?", (has,))
    }
    nodes = rows.read_rows(rows.read_node, db.execute(rows.NODE, (has,)).fetchall())
    running = night_state(db, has) is NightState.RUNNING
    plan = plan_requeue(order.task, outcomes, nodes, running=running, from_node=from_node)
    if not running:
        # What waits for the task but is no longer this night's has been requeued before.
        taken = [
            key
            for key in plan.tasks
            if db.execute("UPDATE tasks SET night = NULL WHERE key = ? AND night = ?", (key, has)).rowcount
        ]
        for key in taken:
            record(db, rows.time_text(order.at), has, key, "task.requeued", _why(order))
        _add(db, order)
        return tuple(taken)
    for key, state in plan.nodes.items():
        db.execute(
            "UPDATE nodes SET state = ?, cause = '', output_commit = NULL WHERE night = ? AND key = ?",
            (state.value, has, key),
        )
        record(db, rows.time_text(order.at), has, key, "node.requeued", _why(order))
    for key in plan.tasks:
        db.execute(
            "UPDATE night_tasks SET outcome = NULL, cause = '' WHERE night = ? AND task = ?", (has, key)
        )
        _add(db, order.model_copy(update={"task": key}))
    return tuple(plan.nodes)


def _requeue_untaken(
    db: GroupConnection, order: Order, outcome: str | None, left_by: str | None
) -> tuple[str, ...]:
    if outcome is not None:
        lifecycle.require_unsuccessful(order.task, TaskOutcome(outcome))
    elif left_by is None:
        raise TransitionError(f"task {order.task} waits for the next night already")
    # One that a night has left is somebody's wish from now on: no window has to pass before it.
    db.execute("UPDATE tasks SET outcome = NULL, cause = '', left_by = NULL WHERE key = ?", (order.task,))
    record(db, rows.time_text(order.at), "", order.task, "task.requeued", _why(order))
    _add(db, order)
    return (order.task,)


def _require_subject(db: GroupConnection, order: Order) -> None:
    for key, sql in (
        (order.batch, "SELECT 1 FROM batches WHERE name = ?"),
        (order.task, "SELECT 1 FROM tasks WHERE key = ?"),
    ):
        if key and db.execute(sql, (key,)).fetchone() is None:
            raise TransitionError(f"the store has no {'task' if order.task else 'batch'} {key}")


def _night_of(db: GroupConnection, order: Order) -> str:
    """Return the running night that works the order's subject; empty when none does."""
    row = db.execute(
        "SELECT nights.id FROM nights JOIN night_tasks ON night_tasks.night = nights.id JOIN tasks ON key = task"
        " WHERE state = 'running' AND (task = ? OR batch = ?) AND night_tasks.outcome IS NULL LIMIT 1",
        (order.task, order.batch),
    ).fetchone()
    return "" if row is None else str(row[0])


def _cancel_untaken(db: GroupConnection, order: Order) -> bool:
    """End the tasks of the order's subject that no night has taken."""
    if not order.task and not order.batch:
        return False
    cause = cancel_cause(order.reason)
    ended = db.execute(
        "UPDATE tasks SET outcome = 'cancelled', cause = ?"
        f" WHERE night IS NULL AND outcome IS NULL AND {'key' if order.task else 'batch'} = ? RETURNING key, rowid",
        (cause, order.task or order.batch),
    ).fetchall()
    for key, _ in sorted(ended, key=lambda row: int(row[1])):
        record(db, rows.time_text(order.at), "", key, "task.cancelled", json_text({"cause": cause}))
    return bool(ended)


def _changes(db: GroupConnection, order: Order) -> bool:
    if order.verb is Verb.CANCEL and (order.task or order.batch):
        open_task = db.execute(
            "SELECT 1 FROM night_tasks JOIN tasks ON key = task WHERE night_tasks.night = ?"
            " AND (task = ? OR batch = ?) AND night_tasks.outcome IS NULL",
            (order.night, order.task, order.batch),
        ).fetchone()
        if open_task is None:
            return False
    found = db.execute(rows.ORDER, (0, order.night))
    return changes(fold_orders(rows.read_rows(rows.read_order, found.fetchall())), order)


def _add(db: GroupConnection, order: Order) -> Order:
    seq = db.execute(
        "INSERT INTO orders (at, verb, night, batch, task, reason, by) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            rows.time_text(order.at),
            order.verb.value,
            order.night,
            order.batch,
            order.task,
            order.reason,
            order.by,
        ),
    ).lastrowid
    if seq is None:
        raise TransitionError(f"the order to {order.verb} got no number")
    subject = order.task or order.batch or order.night
    details = json_text({"order": seq, "reason": order.reason, "by": order.by})
    record(db, rows.time_text(order.at), order.night, subject, f"order.{order.verb}", details)
    return order.model_copy(update={"seq": seq})


def _why(order: Order) -> str:
    return json_text({"reason": order.reason, "by": order.by})
