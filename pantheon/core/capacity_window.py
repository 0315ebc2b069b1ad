"""Which hours tonight's queue has: what is left of a window that is open, else the whole of the next one.

Invariants:
- a window in whose remaining time nothing starts any more is over: tonight is then the next one;
- work may start in all of ``length_s`` but its last ``last_start_s``, and never for longer than the night's budget.

Source: DESIGN.md, section 5 ("A policy").
"""

from datetime import datetime, timedelta, tzinfo
from enum import StrEnum

from pantheon.core.model import Frozen
from pantheon.core.window import Span, WindowPolicy, current_or_next

LOOKED_AT = 4
"""Windows after each other in which nothing may start before that is an error: a jump of the clock shortens one."""


class Part(StrEnum):
    """What the hours are."""

    LEFT = "left"
    """What is left of a window that is open."""
    NEXT = "next"
    """The whole of the window that opens next."""
    ALWAYS = "always"
    """A night's budget: there is no window."""
    ASKED = "asked"
    """As many as somebody asked for."""


class Tonight(Frozen):
    """The hours that tonight's queue has."""

    part: Part
    length_s: float
    """Seconds until the end, and never more than the night's budget."""
    starting_s: float
    """The seconds of those in which work may start."""
    later_s: float
    """The seconds in which work may start in each night after this one."""
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    """In the window's time zone; None where there is no window."""


def as_asked(window_s: float) -> Tonight:
    """Return the hours that somebody asked for: work may start in all of them, tonight and later."""
    return Tonight(part=Part.ASKED, length_s=window_s, starting_s=window_s, later_s=window_s)


def find_tonight(policy: WindowPolicy | None, zone: tzinfo, now: datetime, budget_s: float) -> Tonight:
    """Return the hours that a queue has which is looked at now.

    Args:
        policy: the window; None: always open.
        zone: what the policy's time zone names.
        now: aware.
        budget_s: seconds after which a night starts nothing new.

    Raises:
        ValueError: the window never opens, or nothing ever starts in it.
    """
    if policy is None:
        return Tonight(part=Part.ALWAYS, length_s=budget_s, starting_s=budget_s, later_s=budget_s)
    span, starting_s = _next_useful(policy, zone, now, budget_s)
    _, later_s = _next_useful(policy, zone, span.closes_at, budget_s)
    begins = max(span.opens_at, now)
    return Tonight(
        part=Part.LEFT if now in span else Part.NEXT,
        length_s=min((span.closes_at - begins).total_seconds(), budget_s),
        starting_s=starting_s,
        later_s=later_s,
        opens_at=span.opens_at.astimezone(zone),
        closes_at=span.closes_at.astimezone(zone),
    )


def _next_useful(policy: WindowPolicy, zone: tzinfo, now: datetime, budget_s: float) -> tuple[Span, float]:
    """Return the first window from ``now`` on in which anything may start, and for how long. Raises ``ValueError``."""
    last_start, after = timedelta(seconds=policy.last_start_s), now
    for _ in range(LOOKED_AT):
        span = current_or_next(policy, zone, after)
        starting_s = (span.closes_at - last_start - max(span.opens_at, now)).total_seconds()
        if starting_s > 0:
            return span, min(starting_s, budget_s)
        after = span.closes_at
    raise ValueError(
        f"nothing starts in the last {policy.last_start_s} s of a window (last_start_s), and none is longer than that"
    )
