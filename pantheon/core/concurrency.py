"""How many requests a night keeps in flight: as many as pay, and no more.

The night climbs: it doubles what it keeps in flight for as long as the server answers clearly more each second, and
goes back to the last number that paid when it does not. What the server says of itself ends a climb sooner: requests
that wait in its own queue, or a cache that is nearly full, mean that it is given more than it can hold.

Invariants:
- the limit stays within the floor and the ceiling, whatever a server says;
- nothing is concluded from a time in which the night itself had less to ask than it was allowed;
- the same measurements give the same limit: nothing here reads a clock.

Source: slow start and additive probing as in congestion control (RFC 5681, sections 3.1 and 3.2), with throughput in
the place of loss: a batching server does not lose requests, it stops getting faster.
"""

from enum import StrEnum
from typing import Self

from pydantic import Field

from pantheon.core.model import Frozen

PAYS_SHARE = 0.15
"""More in flight pays when speed grows by this share of what the number grew by: twice as many, 1.15 times as fast."""
NOISE = 1.05
"""Times as fast that a measurement may be by chance."""
FULL_SHARE = 0.85
"""Share of the limit that must have been in flight, on average, for a measurement to say something about the limit."""
CACHE_FULL = 0.95
"""Share of the server's cache beyond which it would have to throw work away."""
REST = 12
"""Measurements for which a limit is kept before the next one up is tried again."""


class Load(Frozen):
    """What a server says about itself at one moment; None where it says nothing."""

    running: float | None = None
    """Requests that it works on."""
    waiting: float | None = None
    """Requests that wait in its own queue."""
    cache_use: float | None = None
    """Share of its key-value cache in use, 0 to 1."""


class Measurement(Frozen):
    """What a night saw of its server during a stretch of time."""

    per_s: float = Field(ge=0)
    """Tokens that it computed and wrote, per second."""
    in_flight: float = Field(ge=0)
    """Requests in flight, averaged over the time."""
    refused: int = Field(default=0, ge=0)
    """Requests that it refused for load."""
    load: Load = Load()


class Phase(StrEnum):
    """What the next full measurement decides."""

    CLIMB = "climb"
    """Whether twice as many pay."""
    STEP = "step"
    """Whether a few more pay."""
    REST = "rest"
    """Nothing: the limit is kept for a while."""


class Concurrency(Frozen):
    """The limit and what is known about it.

    ``best_per_s`` belongs to ``best``, the largest number in flight that has paid so far.
    """

    ceiling: int = Field(ge=1)
    floor: int = Field(default=1, ge=1)
    """What one node needs at least; not above the ceiling."""
    limit: int = Field(default=1, ge=1)
    phase: Phase = Phase.CLIMB
    best: int = Field(default=0, ge=0)
    best_per_s: float = Field(default=0.0, ge=0)
    rest: int = Field(default=0, ge=0)
    why: str = ""
    """The latest change, for people."""

    def after(self, seen: Measurement) -> Self:
        """Return what follows from a measurement."""
        if seen.refused:
            return self._rest_at(self.limit // 2, f"the server refused {seen.refused} for load")
        if seen.load.cache_use is not None and seen.load.cache_use >= CACHE_FULL:
            return self._rest_at(self.limit * 3 // 4, f"its cache is {seen.load.cache_use:.0%} full")
        if seen.load.waiting:
            return self._rest_at(self._held(seen), f"{seen.load.waiting:.0f} wait in its own queue")
        if seen.in_flight < FULL_SHARE * self.limit:
            return self
        if self.phase is Phase.REST:
            return self._wake(seen)
        if seen.per_s < self.best_per_s * self._demanded():
            return self._rest_at(self.best, f"{self.limit} at once were no faster than {self.best}")
        return self._climb(seen)

    def _demanded(self) -> float:
        """Return how many times as fast as at ``best`` the limit must be in order to pay."""
        return max(NOISE, 1 + PAYS_SHARE * (self.limit / max(self.best, 1) - 1))

    def _held(self, seen: Measurement) -> int:
        """Return how many requests the server really worked on."""
        running = seen.load.running
        return self.limit - 1 if running is None else min(int(running), self.limit - 1)

    def _rest_at(self, limit: int, why: str) -> Self:
        kept = max(self.floor, min(limit, self.ceiling))
        changes = {"limit": kept, "phase": Phase.REST, "rest": REST, "best": kept, "why": why}
        return self.model_copy(
            update=changes if kept != self.best else {**changes, "best_per_s": self.best_per_s}
        )

    def _wake(self, seen: Measurement) -> Self:
        """Count a measurement of the kept limit; after enough of them try a few more."""
        if self.rest > 1:
            return self.model_copy(
                update={"rest": self.rest - 1, "best": self.limit, "best_per_s": seen.per_s}
            )
        known = {"rest": 0, "best": self.limit, "best_per_s": seen.per_s}
        if self.limit == self.ceiling:
            return self.model_copy(update={**known, "rest": REST})
        more = min(self.ceiling, self.limit + max(1, self.limit // 4))
        return self.model_copy(update={**known, "limit": more, "phase": Phase.STEP, "why": f"trying {more}"})

    def _climb(self, seen: Measurement) -> Self:
        paid = {"best": self.limit, "best_per_s": seen.per_s}
        if self.limit == self.ceiling:
            return self.model_copy(update={**paid, "phase": Phase.REST, "rest": REST, "why": "the ceiling"})
        wanted = self.limit * 2 if self.phase is Phase.CLIMB else self.limit + max(1, self.limit // 4)
        more = min(self.ceiling, wanted)
        return self.model_copy(
            update={**paid, "limit": more, "why": f"{self.limit} at once paid; trying {more}"}
        )
