"""What closed nights have not reached, as the daemon sees it: work of the next window, and not of the one that left it.

Invariants:
- in the window in which a night began, nothing is due that it has left: a budget that was reached stays reached;
- in any later window it is; without a window, a day after that night began.

Source: ADR 0021.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pantheon.core.window import Span

NIGHTS_APART = timedelta(days=1)
"""Without a window, how long after a night began another one takes up what it has left."""


@dataclass(frozen=True)
class Left:
    """What one closed night has not reached and nobody holds."""

    began: datetime
    """When that night began, aware."""
    tasks: int


def due_before(span: Span | None, now: datetime) -> datetime:
    """Return before when a night must have begun, so that what it has left is due.

    Args:
        span: the window that is open; None: always open.
        now: the time, aware.
    """
    return now - NIGHTS_APART if span is None else span.opens_at


def split_due(left: Sequence[Left], before: datetime) -> tuple[int, tuple[Left, ...]]:
    """Return how many tasks are due, and what is not."""
    due = sum(one.tasks for one in left if one.began < before)
    return due, tuple(one for one in left if one.began >= before)
