"""What an operator orders while a night runs, and where that leaves the night.

Invariants:
- orders are only ever added; where they leave the night is a fold over them, so that every reader agrees;
- an order that changes nothing is not recorded: giving one twice is giving it once.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from pantheon.core.errors import TransitionError
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
    REQUEUE = "requeue"
    """Take up again what ended without success; takes back a cancel of that task."""


OF_A_NIGHT = frozenset({Verb.PAUSE, Verb.RESUME, Verb.DRAIN})
"""Orders that are about a whole night and nothing less."""

OF_EVERY_NIGHT = frozenset({Verb.HOLD, Verb.RELEASE})
"""Orders that stay in force from night to night."""


class Order(Frozen):
    """One order. With neither batch nor task it is about the whole night."""

    seq: int = Field(ge=1)
    at: datetime
    verb: Verb
    night: str = ""
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
    spared: frozenset[str] = frozenset()
    """Tasks that were requeued after their batch or night was cancelled."""
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
        if task in self.spared:
            return ""
        reason = _reason(task, self.cancelled_tasks, self.cancelled_batches)
        if reason is None:
            reason = self.cancelled
        return "" if reason is None else cancel_cause(reason)

    def hold_cause(self, task: str) -> str:
        """Return why a task is held; empty when it is not."""
        reason = _reason(task, self.held_tasks, self.held_batches)
        return "" if reason is None else f"held by the operator: {reason}"


def cancel_cause(reason: str) -> str:
    """Return the cause of an outcome that an operator's cancel made."""
    return f"cancelled by the operator: {reason}"


def _reason(task: str, tasks: Mapping[str, str], batches: Mapping[str, str]) -> str | None:
    return tasks.get(task, batches.get(_batch(task)))


def follow_order(standing: Standing, order: Order) -> Standing:
    """Return where one more order leaves the night; the same value when it changes nothing."""
    if order.verb is Verb.PAUSE:
        return _changed(standing, paused=True)
    if order.verb is Verb.DRAIN:
        return _changed(standing, draining=True)
    if order.verb is Verb.RESUME:
        return _changed(standing, paused=False, draining=False)
    if order.verb is Verb.CANCEL:
        return _cancelled(standing, order)
    if order.verb is Verb.REQUEUE:
        return _requeued(standing, order.task)
    key, field = (order.task, "held_tasks") if order.task else (order.batch, "held_batches")
    held: Mapping[str, str] = getattr(standing, field)
    if order.verb is Verb.RELEASE:
        return _changed(standing, **{field: {one: reason for one, reason in held.items() if one != key}})
    return standing if key in held else _changed(standing, **{field: {**held, key: order.reason}})


def check_order(order: Order) -> None:
    """Refuse an order that says too little or too much. Raises ``TransitionError``."""
    said = f"an order to {order.verb}"
    if order.verb is Verb.REQUEUE:
        raise TransitionError(f"{said} is given by requeueing a task")
    if order.task and order.batch:
        raise TransitionError(f"{said} names a task or a batch, not both")
    if order.verb in OF_A_NIGHT and (order.task or order.batch):
        raise TransitionError(f"{said} is about a whole night")
    if not (order.night or order.task or order.batch):
        raise TransitionError(f"{said} names nothing", hint="name a task, a batch or a running night")
    if order.verb in OF_EVERY_NIGHT and not (order.task or order.batch):
        raise TransitionError(f"{said} names a task or a batch", hint="to halt a whole night, pause it")


def fold_orders(orders: Iterable[Order], standing: Standing | None = None) -> Standing:
    """Return where orders leave a night, in the order they were given."""
    standing = standing or Standing()
    for order in orders:
        standing = follow_order(standing, order)
    return standing


def changes(standing: Standing, order: Order) -> bool:
    """Tell whether an order would change anything."""
    return follow_order(standing, order) != standing


def _cancelled(standing: Standing, order: Order) -> Standing:
    if order.task:
        known = {order.task: order.reason, **standing.cancelled_tasks}
        return _changed(standing, cancelled_tasks=known, spared=standing.spared - {order.task})
    if order.batch:
        known = {order.batch: order.reason, **standing.cancelled_batches}
        kept = frozenset(task for task in standing.spared if _batch(task) != order.batch)
        return _changed(standing, cancelled_batches=known, spared=kept)
    reason = order.reason if standing.cancelled is None else standing.cancelled
    return _changed(standing, cancelled=reason, spared=frozenset())


def _requeued(standing: Standing, task: str) -> Standing:
    kept = {one: reason for one, reason in standing.cancelled_tasks.items() if one != task}
    by_more = standing.cancelled is not None or _batch(task) in standing.cancelled_batches
    spared = standing.spared | {task} if by_more else standing.spared
    return _changed(standing, cancelled_tasks=kept, spared=spared)


def _batch(task: str) -> str:
    return task.rpartition("/")[0]


def _changed(standing: Standing, **values: object) -> Standing:
    return standing.model_copy(update=values)
