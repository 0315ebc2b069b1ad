"""How well a number tells good from bad, and how far two judges agree beyond chance."""

import math
from collections.abc import Sequence

from pantheon.core.figures import Z95
from pantheon.core.model import Frozen


class Area(Frozen):
    """The area under a ROC curve with its 95 % interval."""

    good: int
    bad: int
    value: float | None
    """The chance that a good one has the larger number than a bad one; 0.5 is a coin. None without one of either."""
    low: float
    high: float


def roc_area(good: Sequence[float], bad: Sequence[float]) -> Area:
    """Return the area under the ROC curve of numbers that ought to be larger for good ones; ties count half.

    Source: H. B. Mann and D. R. Whitney, "On a test of whether one of two random variables is stochastically
    larger than the other", 1947; the interval by J. A. Hanley and B. J. McNeil, "The meaning and use of the area
    under a receiver operating characteristic (ROC) curve", 1982.
    """
    if not good or not bad:
        return Area(good=len(good), bad=len(bad), value=None, low=0.0, high=1.0)
    wins = sum(1.0 if g > b else 0.5 if g == b else 0.0 for g in good for b in bad)
    area = wins / (len(good) * len(bad))
    two_good = area / (2 - area)
    two_bad = 2 * area * area / (1 + area)
    square = (
        area * (1 - area)
        + (len(good) - 1) * (two_good - area * area)
        + (len(bad) - 1) * (two_bad - area * area)
    ) / (len(good) * len(bad))
    half = Z95 * math.sqrt(max(square, 0.0))
    return Area(
        good=len(good), bad=len(bad), value=area, low=max(0.0, area - half), high=min(1.0, area + half)
    )


def cohen_kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """Return how far two judges agree beyond what their habits alone would give; 1 is always, 0 is chance.

    None without a common case, or where both said the same of all: then there is no chance to compare with.

    Source: J. Cohen, "A coefficient of agreement for nominal scales", 1960.
    """
    if not pairs:
        return None
    agree = sum(a == b for a, b in pairs) / len(pairs)
    first, second = (sum(pair[side] for pair in pairs) / len(pairs) for side in (0, 1))
    by_chance = first * second + (1 - first) * (1 - second)
    return None if by_chance == 1 else (agree - by_chance) / (1 - by_chance)
