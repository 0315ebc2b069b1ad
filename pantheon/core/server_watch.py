"""When a model server that lives has stopped to work, decided from what is seen of it from outside.

A full server is slow and a long prompt is slower, so that slowness proves nothing. What proves a hang is bounded
silence: of ``/health``, or of its counters of work while a question for one token waits, with hardly any time of a
processor used. What it says of requests that run is no proof that there are any: vLLM tells that anew only when it
has computed something, so one that was called off goes on to be counted.

Invariants:
- whoever has worked, or was asked nothing, is not hung;
- a time in which nobody looked proves nothing;
- nothing here reads a clock.
"""

from typing import Self

from pydantic import Field

from pantheon.core.model import Frozen

COMPUTES_SHARE = 0.05
"""Share of one core beyond which a server is taken to compute."""


class Patience(Frozen):
    """How often a server is looked at, and how long it may be silent; seconds."""

    look_s: float = Field(default=5.0, gt=0)
    """Between two looks."""
    probe_s: float = 10.0
    """For the answer to one look."""
    silent_s: float = 120.0
    """Without an answer to ``/health``."""
    ask_s: float = 60.0
    """Without work that was done, after which it is asked for one token."""
    stuck_s: float = 120.0
    """Asked, with no work done and no processor used."""
    slow_s: float = 1_200.0
    """Asked, with no work done while it computes: longer than the longest prompt takes on a CPU."""
    gap_s: float = 60.0
    """Between two looks, beyond which nobody has looked: the supervisor itself was stopped."""
    gone_s: float = 60.0
    """That a server of somebody else may be gone before one of ours is started."""


class Look(Frozen):
    """What was seen of a server at one moment."""

    at: float
    """Seconds of a clock that never goes back."""
    healthy: bool
    """Whether ``/health`` was well."""
    asked: bool = False
    """Whether it was asked for one token and has not answered."""
    work: float | None = None
    """Tokens and requests that it counts as done; None where it tells nothing."""
    answers: int = 0
    """Questions of the supervisor that it has answered."""
    computed_s: float | None = None
    """Processor time of all its processes; None where that is not known."""


class Watched(Frozen):
    """What the looks so far come to: when each sign of life was last seen."""

    last: Look
    healthy_at: float
    worked_at: float
    """When it had done some of its work."""
    free_at: float
    """When it had done some, or was asked nothing."""
    computed_at: float

    @classmethod
    def begin(cls, look: Look) -> Self:
        """Return a server that was well until now."""
        at = look.at
        return cls(last=look, healthy_at=at, worked_at=at, free_at=at, computed_at=at)

    def advance(self, look: Look, patience: Patience) -> Self:
        """Return what is known after one more look."""
        before = self.last
        if look.at - before.at > patience.gap_s:
            return type(self).begin(look)
        counted = None not in (look.work, before.work) and look.work != before.work
        worked = counted or look.answers > before.answers
        used = (look.computed_s or 0.0) - (before.computed_s or 0.0)
        computes = look.computed_s is None or used >= COMPUTES_SHARE * (look.at - before.at)
        # A page that was not shown this time says nothing: the count that was seen last goes on to count.
        kept = look if look.work is not None else look.model_copy(update={"work": before.work})
        return type(self)(
            last=kept,
            healthy_at=look.at if look.healthy or worked else self.healthy_at,
            worked_at=look.at if worked else self.worked_at,
            free_at=look.at if worked or not look.asked else self.free_at,
            computed_at=look.at if computes else self.computed_at,
        )

    def wants_question(self, patience: Patience) -> bool:
        """Tell whether it is time to ask it for one token: it is well, and has done nothing for a while."""
        return self.last.healthy and self.last.at - self.worked_at >= patience.ask_s

    def verdict(self, patience: Patience) -> str:
        """Return why it counts as hung; empty while it does not."""
        now = self.last.at
        silent_s = now - self.healthy_at
        # An engine in the process that serves lets nobody in while it computes a step: a minute, for a large model.
        computes = self.last.computed_s is not None and now - self.computed_at <= patience.silent_s
        if silent_s > (patience.slow_s if computes else patience.silent_s):
            return f"/health has not answered well for {silent_s:.0f} s"
        still_s = now - self.free_at
        if still_s > patience.slow_s:
            return f"it was asked for one token {still_s:.0f} s ago and has done no work since"
        if still_s > patience.stuck_s and now - self.computed_at > patience.stuck_s:
            return f"it was asked for one token {still_s:.0f} s ago, has done no work since and used no processor"
        return ""
