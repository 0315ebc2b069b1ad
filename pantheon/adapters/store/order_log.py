"""The operator's orders. Rules as in ``commands``."""

import sqlite3

from pantheon.adapters.store.commands import record
from pantheon.adapters.store.rows import ORDER, json_text, read_order
from pantheon.core.orders import Order, changes, fold_orders


def add_order(db: sqlite3.Connection, order: Order) -> Order | None:
    """Add an order under the next number; None and no change when it changes nothing."""
    known = [read_order(row) for row in db.execute(ORDER, (order.night, 0))]
    if not changes(fold_orders(known), order):
        return None
    at = order.at.isoformat(timespec="microseconds")
    values = (at, order.verb.value, order.night, order.batch, order.task, order.reason, order.by)
    seq = db.execute(
        'INSERT INTO orders (at, verb, night, batch, task, reason, "by") VALUES (?, ?, ?, ?, ?, ?, ?)', values
    ).lastrowid
    subject = order.task or order.batch or order.night
    details = json_text({"reason": order.reason, "by": order.by})
    record(db, at, order.night, subject, f"order.{order.verb.value}", details)
    return order.model_copy(update={"seq": seq})
