"""What the daemon makes of a window that passed unseen: whether one did, what it says of it, when it is caught up."""

from dataclasses import replace
from datetime import datetime

from pantheon.core.daemon import Work
from pantheon.core.window import Span


def explain_missed(missed: Span, last_seen: datetime, work: Work, *, catch_up: bool) -> str:
    """Return one sentence about a window in which the daemon did not run at all."""
    when = f"{missed.opens_at:%Y-%m-%d %H:%M}-{missed.closes_at:%H:%M} UTC"
    reason = f"missed the window {when}: not running from {last_seen:%Y-%m-%d %H:%M} UTC on"
    if not work:
        return f"{reason}; nothing waited"
    if catch_up:
        return f"{reason}; {work}; caught up now (catch_up = true)"
    return f"{reason}; {work}; left for the next window, because catch_up = false in policies/night.toml"


def find_missed(last: Span | None, last_seen: datetime | None, now: datetime) -> Span | None:
    """Return the newest window that passed unseen, else None.

    Args:
        last: the newest window that has ended.
        last_seen: when the daemon was last known to run; None for its first start.
        now: the time, aware.
    """
    if last is None or last_seen is None or last.closes_at > now:
        return None
    return last if last_seen < last.opens_at else None


def catch_up_span(missed: Span, following: Span, now: datetime) -> Span | None:
    """Return the time in which a missed window is caught up: as long as it was, and over when the next one opens."""
    if now >= following.opens_at:
        return None
    ends_at = min(now + (missed.closes_at - missed.opens_at), following.opens_at)
    return replace(missed, opens_at=now, closes_at=ends_at)
