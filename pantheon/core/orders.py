"""What an operator orders while a night runs, and where that leaves the night.

Invariants:
- orders are only ever added; where they leave the night is a fold over them, so that every reader agrees;
- an order that changes nothing is not recorded: giving one twice is giving it once.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from pantheon.core.model import Frozen


class Verb(StrEnum):
    """What is ordered."""

    PAUSE = "pause"
    """Start nothing more; stay."""
    RESUME = "resume"
    """Take back a pause or a drain."""
    DRAIN = "drain"
    """Start nothing more; finish what runs; leave the night open for the next process."""
    CANCEL = "cancel"
    """End without an outcome of its own what has not ended; for good."""
    HOLD = "hold"
    """Start nothing more of it until it is released."""
    RELEASE = "release"
    """Take back a hold."""


class Order(Frozen):
    """One order. With neither batch nor task it is about the whole night."""

    seq: int = Field(ge=1)
    at: datetime
    verb: Verb
    night: str
    """Empty when no night had the subject."""
    batch: str = ""
    task: str = ""
    """Task key."""
    reason: str
    by: str
    """Who ordered it."""


class Standing(Frozen):
    """Where orders leave a night."""

    paused: bool = False
    draining: bool = False
    cancelled: str | None = None
    """Why the whole night is cancelled; None when it is not."""
    cancelled_batches: Mapping[str, str] = Field(default_factory=dict)
    """Batch -> reason."""
    cancelled_tasks: Mapping[str, str] = Field(default_factory=dict)
    """Task key -> reason."""
    held_batches: Mapping[str, str] = Field(default_factory=dict)
    held_tasks: Mapping[str, str] = Field(default_factory=dict)

    @property
    def cancels_any(self) -> bool:
        """Whether anything is cancelled."""
        return self.cancelled is not None or bool(self.cancelled_batches or self.cancelled_tasks)

    @property
    def holds_any(self) -> bool:
        """Whether anything is held."""
        return bool(self.held_batches or self.held_tasks)

    def cancel_cause(self, task: str) -> str:
        """Return why a task is cancelled, as its outcome's cause; empty when it is not."""
        reason = _reason(task, self.cancelled_tasks, self.cancelled_batches)
        if reason is None:
            reason = self.cancelled
        return "" if reason is None else f"cancelled by the operator: {reason}"

    def hold_cause(self, task: str) -> str:
        """Return why a task is held; empty when it is not."""
        reason = _reason(task, self.held_tasks, self.held_batches)
        return "" if reason is None else f"held by the operator: {reason}"


def _reason(task: str, tasks: Mapping[str, str], batches: Mapping[str, str]) -> str | None:
    return tasks.get(task, batches.get(task.rpartition("/")[0]))


def follow_order(standing: Standing, order: Order) -> Standing:
    """Return where one more order leaves the night; the same value when it changes nothing."""
    if order.verb is Verb.PAUSE:
        return _changed(standing, paused=True)
    if order.verb is Verb.DRAIN:
        return _changed(standing, draining=True)
    if order.verb is Verb.RESUME:
        return _changed(standing, paused=False, draining=False)
    if order.verb is Verb.CANCEL and not order.task and not order.batch:
        return standing if standing.cancelled is not None else _changed(standing, cancelled=order.reason)
    key, kind = (order.task, "tasks") if order.task else (order.batch, "batches")
    field = f"{'cancelled' if order.verb is Verb.CANCEL else 'held'}_{kind}"
    known: Mapping[str, str] = getattr(standing, field)
    if order.verb is Verb.RELEASE:
        kept = {one: reason for one, reason in known.items() if one != key}
        return _changed(standing, **{field: kept})
    return standing if key in known else _changed(standing, **{field: {**known, key: order.reason}})


def fold_orders(orders: Iterable[Order], standing: Standing | None = None) -> Standing:
    """Return where orders leave a night, in the order they were given."""
    standing = standing or Standing()
    for order in orders:
        standing = follow_order(standing, order)
    return standing


def changes(standing: Standing, order: Order) -> bool:
    """Tell whether an order would change anything."""
    return follow_order(standing, order) != standing


def _changed(standing: Standing, **values: object) -> Standing:
    return standing.model_copy(update=values)
