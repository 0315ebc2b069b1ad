"""What the daemon makes of a window, or the rest of one, that passed unseen: what it says, and when it catches up."""

from dataclasses import replace
from datetime import UTC, datetime

from pantheon.core.daemon import Work
from pantheon.core.window import Span

UNNOTICED_S = 360.0
"""How much of a window may pass unseen without a word: when a daemon was last seen is kept every few minutes."""


def explain_missed(
    missed: Span, last_seen: datetime, work: Work, *, catch_up: bool, may_land: bool = True
) -> str:
    """Return one sentence about a window, or the rest of one, in which the daemon did not run.

    Args:
        missed: what of it passed unseen.
        last_seen: when the daemon was last known to run.
        work: what waits now, what is not due among it as left.
        catch_up: whether the policy has it worked now, where it can be.
        may_land: whether merges may start now.
    """
    what = "the rest of the window," if last_seen >= missed.opens_at else "the window"
    missed = Span(missed.opens_at.astimezone(UTC), missed.closes_at.astimezone(UTC))
    when = f"{missed.opens_at:%Y-%m-%d %H:%M}-{missed.closes_at:%H:%M} UTC"
    reason = f"missed {what} {when}: not running from {last_seen.astimezone(UTC):%Y-%m-%d %H:%M} UTC on"
    if not work:
        return f"{reason}; nothing waited"
    if not work.can_be_done(may_land=may_land, land_only=False):
        return f"{reason}; {work}"
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


def find_missed_rest(
    last: Span | None, last_seen: datetime | None, now: datetime, *, last_start_s: float
) -> Span | None:
    """Return what passed unseen of a window in which the daemon had run before; None for nothing worth a word.

    Args:
        last, last_seen, now: as for ``find_missed``.
        last_start_s: seconds before its end at which nothing new would have started anyway.
    """
    if last is None or last_seen is None or last.closes_at > now or last_seen < last.opens_at:
        return None
    of_use_s = (last.closes_at - last_seen).total_seconds() - last_start_s
    return replace(last, opens_at=last_seen) if of_use_s > UNNOTICED_S else None


def catch_up_span(missed: Span, following: Span, now: datetime) -> Span | None:
    """Return the time in which a missed window is caught up: as long as what was missed, and over when the next opens.

    Args:
        missed: what passed unseen.
        following: the window that opens next.
        now: the time, aware.
    """
    if now >= following.opens_at:
        return None
    ends_at = min(now + (missed.closes_at - missed.opens_at), following.opens_at)
    return replace(missed, opens_at=now, closes_at=ends_at)
