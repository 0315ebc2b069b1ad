"""The outages of a night's model server, from the events that told of them."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from pantheon.core.model import Frozen
from pantheon.core.records import EventRecord

LOST, STILL_LOST, BACK, GONE = (
    "night.server_lost",
    "night.server_still_lost",
    "night.server_back",
    "night.server_gone",
)
"""Names of the events of an outage, about the night; each says why in its details."""
ENDS = (LOST, BACK, GONE)
"""Names of those that begin or end an outage."""
MAX_WHY = 300


class Outage(Frozen):
    """One time in which the model server was lost."""

    began_at: datetime
    ended_at: datetime | None
    """None while it lasts, and where the process ended in it."""
    why: str
    gone: bool = False
    """Whether it ended because there was no server any more."""

    def lasted_s(self, until: datetime) -> float:
        """Return its length in seconds, up to a moment where it has no end."""
        return max(((self.ended_at or until) - self.began_at) / timedelta(seconds=1), 0.0)


def find_outages(events: Iterable[EventRecord]) -> tuple[Outage, ...]:
    """Return the outages of a night in order.

    A process that ended in an outage has not told its end: the next event that begins one ends it as well.
    """
    found: list[Outage] = []
    for event in sorted(events, key=lambda one: one.seq):
        lasts = bool(found) and found[-1].ended_at is None
        if lasts:
            end = {"ended_at": event.at, "gone": event.name == GONE}
            found[-1] = found[-1].model_copy(update=end)
        if event.name == LOST:
            why = str(event.details.get("why", ""))[:MAX_WHY]
            found.append(Outage(began_at=event.at, ended_at=None, why=why))
    return tuple(found)


def idle_for_server_s(outages: Sequence[Outage], until: datetime) -> float:
    """Return how long the night had no model server, in seconds."""
    return sum(one.lasted_s(until) for one in outages)
