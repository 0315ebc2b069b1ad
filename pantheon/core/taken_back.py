"""Which changes were taken back after they had landed, as the store's events tell.

Invariant: it is told beside what the night decided and never instead of it.
"""

from collections.abc import Iterable, Mapping

from pantheon.core.model import Frozen
from pantheon.core.records import EventRecord

UNDO_EVENT = "order.undo"
"""Name of the event; beside the orders that it stands among."""


class TakenBack(Frozen):
    """One change that was taken back."""

    undo: str
    """The commit that took it back."""
    reason: str
    by: str


def taken_back(events: Iterable[EventRecord]) -> Mapping[str, TakenBack]:
    """Return task key -> how its change was taken back; of other events, nothing."""
    return {
        event.subject: TakenBack(
            **{name: str(event.details.get(name, "")) for name in ("undo", "reason", "by")}
        )
        for event in events
        if event.name == UNDO_EVENT
    }
