"""What a night has used of its budget, from the attempts it has made: the same in the process that resumes it."""

from collections.abc import Iterable

from pantheon.core.budget import NO_USE, Usage
from pantheon.core.model import Frozen
from pantheon.core.records import AttemptRecord

NOT_STARTED = "not started: "
"""How the cause of a node begins that a budget or the end of the window kept from starting."""


class Spent(Frozen):
    """What was used so far."""

    used: Usage = NO_USE
    worked_s: float = 0.0
    """Seconds in which at least one attempt was running; the hours a drained night rests do not count."""


def spent_by(attempts: Iterable[AttemptRecord]) -> Spent:
    """Return what ended attempts have used.

    An attempt that was interrupted has no end of its own: it counts up to the moment in which that was found only as
    far as others were running.
    """
    used = NO_USE
    spans: list[tuple[float, float]] = []
    for attempt in attempts:
        if attempt.result is None or attempt.ended_at is None:
            continue
        used += Usage.of_metrics(attempt.result.metrics)
        if wall_s := float(attempt.result.metrics.get("wall_s", 0.0)):
            started = attempt.started_at.timestamp()
            spans.append((started, started + wall_s))
    return Spent(used=used, worked_s=_covered(spans))


def _covered(spans: list[tuple[float, float]]) -> float:
    """Return the length of the union of spans."""
    covered, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return covered
