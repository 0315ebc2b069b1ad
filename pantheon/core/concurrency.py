"""How many requests a night keeps in flight: as many as pay, and no more.

A server that tells how full it is is given at once all that it has room for, and fewer are tried: they are kept where
they are as fast. One that tells nothing is given one request, then twice as many for as long as it answers clearly
more each second. Later a few more and a few fewer are tried in turn. What a server says of itself ends that sooner:
requests that go on waiting in its own queue, or a cache that stays full, mean that it is given more than it can hold.

Invariants:
- the limit stays within the floor and the ceiling, whatever a server says;
- nothing is concluded from a time in which the night itself had less to ask than it was allowed;
- nothing is concluded from what a server says once: a wave of prompts waits for a moment in every queue;
- the same measurements give the same limit: nothing here reads a clock.

Source: slow start and additive probing as in congestion control (RFC 5681, sections 3.1 and 3.2), with throughput in
the place of loss: a batching server does not lose requests, it stops getting faster.
"""

import statistics
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Self

from pydantic import Field

from pantheon.core.model import Frozen

CHANGED = "concurrency"
"""Name of the event that tells of a new limit."""
PAYS_SHARE = 0.15
"""More in flight pays when speed grows by this share of what the number grew by: twice as many, 1.15 times as fast."""
NOISE = 1.03
"""Times as fast that a measurement may be by chance."""
FULL_SHARE = 0.85
"""Share of the limit that must have been in flight, on average, for a measurement to say something about the limit."""
CACHE_FULL = 0.95
"""Share of the server's cache beyond which it would have to throw work away."""
REST = 12
"""Measurements for which a limit is kept before more or fewer are tried again."""
PROMPT_COST = 0.05
"""What computing a token of a prompt costs a server, in tokens that it writes: it computes many of them at once."""


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
    """Tokens that it wrote, and of prompts computed as ``PROMPT_COST`` weighs them, per second."""
    in_flight: float = Field(ge=0)
    """Requests in flight, averaged over the time."""
    refused: int = Field(default=0, ge=0)
    """Requests that it refused for load, or did not answer in time."""
    load: Load = Load()
    """What it said all the while; see ``lasting``."""


def lasting(looks: Iterable[Load]) -> Load:
    """Return what several looks at a server have in common.

    Waiting requests and the use of the cache count as far as three looks of four show them, the running ones by their
    median; a value that a look does not tell is not told.
    """
    looks = tuple(looks)

    def summed_up(values: list[float | None], how: Callable[[list[float]], float]) -> float | None:
        told = [value for value in values if value is not None]
        return how(told) if told and len(told) == len(values) else None

    def mostly(values: list[float]) -> float:
        return sorted(values)[len(values) // 4]

    return Load(
        running=summed_up([look.running for look in looks], statistics.median),
        waiting=summed_up([look.waiting for look in looks], mostly),
        cache_use=summed_up([look.cache_use for look in looks], mostly),
    )


class PaceChange(Frozen):
    """What the event of a new limit tells."""

    limit: int = Field(ge=1, le=1_000_000)
    why: str = Field(max_length=1_000)
    per_s: float = Field(ge=0)
    """Speed before the change, as in ``Measurement``; 0 where nothing was measured."""


class Phase(StrEnum):
    """What the next full measurement decides."""

    CLIMB = "climb"
    """Whether twice as many pay."""
    STEP = "step"
    """Whether half as many again pay."""
    FULL = "full"
    """Nothing: it is what fewer are compared with."""
    FEWER = "fewer"
    """Whether two thirds are as fast."""
    REST = "rest"
    """Nothing: the limit is kept for a while."""


class Concurrency(Frozen):
    """The limit and what is known about it.

    ``best_per_s`` belongs to ``best``, the number in flight that the limit is compared with.
    """

    ceiling: int = Field(ge=1)
    floor: int = Field(default=1, ge=1)
    """What one node needs at least; not above the ceiling."""
    limit: int = Field(default=1, ge=1)
    phase: Phase = Phase.CLIMB
    best: int = Field(default=0, ge=0)
    best_per_s: float = Field(default=0.0, ge=0)
    rest: int = Field(default=0, ge=0)
    more_next: bool = True
    """Whether more are tried after the rest, where both are possible."""
    why: str = ""
    """The latest change, for people."""

    @property
    def calls_wanted(self) -> int:
        """Calls that must have ended before a measurement says enough."""
        return max(2, self.limit if self.phase is Phase.CLIMB else 2 * self.limit)

    def begun(self, load: Load) -> Self:
        """Return where to begin with a server that says this of itself: at the ceiling, where it tells of its queue."""
        if load.waiting is None or self.ceiling == self.limit:
            return self
        return self._to(self.ceiling, Phase.FULL, "the server tells how full it is")

    def after(self, seen: Measurement) -> Self:
        """Return what follows from a measurement."""
        if seen.refused:
            return self._rest_at(
                self.limit // 2, f"the server refused {seen.refused} for load, or was too slow"
            )
        if seen.load.cache_use is not None and seen.load.cache_use >= CACHE_FULL:
            return self._rest_at(self.limit * 3 // 4, f"its cache is {seen.load.cache_use:.0%} full")
        if seen.load.waiting:
            return self._rest_at(self._held(seen), f"{seen.load.waiting:.0f} wait in its own queue")
        if seen.in_flight < FULL_SHARE * self.limit:
            return self
        known = self.model_copy(update={"best": self.limit, "best_per_s": seen.per_s})
        if self.phase is Phase.REST:
            return known._wake(self.rest)
        if self.phase is Phase.FULL:
            return known._try_fewer()
        if self.phase is Phase.FEWER:
            if self.best_per_s > seen.per_s * NOISE:
                return self._rest_at(self.best, f"{self.limit} at once were slower than {self.best}")
            return known._try_fewer(f"{self.limit} at once were as fast as {self.best}")
        if seen.per_s < self.best_per_s * _demanded(self.limit / max(self.best, 1)):
            return self._rest_at(self.best, f"{self.limit} at once were no faster than {self.best}")
        return known._try_more(f"{self.limit} at once paid; ")

    def _held(self, seen: Measurement) -> int:
        """Return how many requests the server really worked on."""
        running = seen.load.running
        return self.limit - 1 if running is None else min(int(running), self.limit - 1)

    def _to(self, limit: int, phase: Phase, why: str) -> Self:
        return self.model_copy(update={"limit": limit, "phase": phase, "rest": 0, "why": why})

    def _rest_at(self, limit: int, why: str) -> Self:
        kept = max(self.floor, min(limit, self.ceiling))
        per_s = self.best_per_s if kept == self.best else 0.0
        changes = {"rest": REST, "best": kept, "best_per_s": per_s, "more_next": not self.more_next}
        return self._to(kept, Phase.REST, why).model_copy(update=changes)

    def _wake(self, rest: int) -> Self:
        """Count a measurement of the kept limit; after enough of them try more or fewer."""
        if rest > 1:
            return self.model_copy(update={"rest": rest - 1})
        if self.limit == self.ceiling or (self.limit > self.floor and not self.more_next):
            return self._try_fewer()
        return self.model_copy(update={"phase": Phase.STEP})._try_more()

    def _try_fewer(self, found: str = "") -> Self:
        fewer = max(self.floor, self.limit * 2 // 3)
        if fewer == self.limit:
            return self._rest_at(self.limit, found or "the floor")
        return self._to(fewer, Phase.FEWER, f"{found}; trying {fewer}" if found else f"trying {fewer}")

    def _try_more(self, found: str = "") -> Self:
        if self.limit == self.ceiling:
            return self._rest_at(self.limit, "the ceiling")
        wanted = self.limit * 2 if self.phase is Phase.CLIMB else self.limit + max(1, self.limit // 2)
        more = min(self.ceiling, wanted)
        return self._to(more, self.phase, f"{found}trying {more}")


def _demanded(growth: float) -> float:
    """Return how many times as fast so many times as many requests must be in order to pay."""
    return max(NOISE, 1 + PAYS_SHARE * (growth - 1))
