"""The breaker between a night and its model server: whether calls may be made, and when to ask again.

    closed --broke--> open --probe due--> half-open --probe worked--> closed
                       ^                      |
                       +------probe broke-----+

Invariants:
- only a closed breaker lets calls through; only an open one whose time has come begins a probe;
- the wait before a probe grows with every opening and failed probe, up to a ceiling, and is reset by a call that
  worked, not by a probe: a server that answers probes and breaks at work is asked less and less often;
- a server that says when to come back is not asked before, within the ceiling;
- the same events give the same breaker: time comes in as a number.
"""

from enum import StrEnum
from typing import Self

from pydantic import Field

from pantheon.core.model import Frozen

FIRST_WAIT_S = 1.0
"""Before the first probe after a breakdown, in seconds; it doubles with every one that is in vain."""
CEILING_S = 60.0
"""Longest wait before a probe that we choose, in seconds."""
LONGEST_ASKED_S = 600.0
"""Longest wait that a server may ask for, in seconds."""
MAX_DOUBLINGS = 16


class BreakerState(StrEnum):
    """What the breaker lets through."""

    CLOSED = "closed"
    """Every call."""
    OPEN = "open"
    """Nothing."""
    HALF_OPEN = "half_open"
    """The one probe that is under way."""


class Breaker(Frozen):
    """Everything the breaker knows; every method returns the breaker that follows."""

    state: BreakerState = BreakerState.CLOSED
    in_vain: int = Field(default=0, ge=0)
    """Breakdowns and failed probes since a call last worked."""
    why: str = ""
    """The latest breakdown, for people; empty while closed."""
    since_s: float = 0.0
    """Monotonic time of the first breakdown of this outage, in seconds."""
    probe_at_s: float = 0.0
    """Monotonic time from which a probe may begin, in seconds."""

    @property
    def closed(self) -> bool:
        """Whether calls may be made."""
        return self.state is BreakerState.CLOSED

    def worked(self) -> Self:
        """Return what follows a call that was answered. One that was under way at a breakdown closes nothing."""
        return self.model_copy(update={"in_vain": 0}) if self.closed else self

    def broke(self, why: str, *, now_s: float, retry_after_s: float = 0.0) -> Self:
        """Return what follows a call that the server broke.

        Args:
            why: what happened.
            now_s: monotonic time.
            retry_after_s: how long the server asks to be left alone.
        """
        if not self.closed:
            # One of several that were under way: the same breakdown, but the server's wish still holds.
            until = now_s + min(max(retry_after_s, 0.0), LONGEST_ASKED_S)
            return self.model_copy(update={"probe_at_s": max(self.probe_at_s, until)})
        return self._open(why, now_s, retry_after_s).model_copy(update={"since_s": now_s})

    def wait_s(self, now_s: float) -> float:
        """Return how many seconds there are until a probe may begin."""
        return max(self.probe_at_s - now_s, 0.0)

    def begin_probe(self, now_s: float) -> Self:
        """Return what follows the beginning of a probe; the same breaker when none may begin now."""
        if self.state is not BreakerState.OPEN or self.wait_s(now_s) > 0:
            return self
        return self.model_copy(update={"state": BreakerState.HALF_OPEN})

    def end_probe(self, problem: str, *, now_s: float, retry_after_s: float = 0.0) -> Self:
        """Return what follows the end of a probe.

        Args:
            problem: what went wrong; empty when the server answered.
            now_s: monotonic time.
            retry_after_s: how long the server asks to be left alone.
        """
        if self.state is not BreakerState.HALF_OPEN:
            return self
        if problem:
            return self._open(problem, now_s, retry_after_s)
        return self.model_copy(update={"state": BreakerState.CLOSED, "why": ""})

    def _open(self, why: str, now_s: float, retry_after_s: float) -> Self:
        chosen = min(FIRST_WAIT_S * 2.0 ** min(self.in_vain, MAX_DOUBLINGS), CEILING_S)
        wait_s = max(chosen, min(max(retry_after_s, 0.0), LONGEST_ASKED_S))
        return self.model_copy(
            update={
                "state": BreakerState.OPEN,
                "in_vain": self.in_vain + 1,
                "why": why,
                "probe_at_s": now_s + wait_s,
            }
        )
