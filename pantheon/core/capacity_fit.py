"""What capacity is estimated from: intervals of service rates, and what a model call is made of.

Invariants:
- a mean of few durations comes with the interval that so few allow;
- a fit that the measurements do not carry is None, never a guess.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from pantheon.core.figures import Z95
from pantheon.core.model import Frozen

MIN_CALLS = 6
"""Measured attempts below which the parts of a call are not told apart."""


EXACT_UP_TO = 50
"""Durations up to which their interval is computed without an approximation."""


class ServiceTime(Frozen):
    """How long one kind of work takes, from ended attempts."""

    attempts: int = Field(ge=1)
    mean_s: float = Field(gt=0)
    low_s: float
    high_s: float
    """95 % interval of the mean, for exponential durations."""


class CallCost(NamedTuple):
    """What one attempt asked of the model."""

    calls: int
    computed_tokens: int
    """Prompt tokens that no prefix cache held."""
    completion_tokens: int
    model_s: float


class CallParts(Frozen):
    """A call's duration, taken apart: ``tau + prompt * prefill + completion * decode``."""

    tau_s: float = Field(ge=0)
    prefill_s: float = Field(ge=0)
    """Per prompt token."""
    decode_s: float = Field(ge=0)
    """Per output token."""
    attempts: int


def measure_service(durations: Sequence[float]) -> ServiceTime | None:
    """Return the mean of durations, in seconds, and its interval; None where nothing took any time.

    Source: ``2 n mean / chi2(2 n)`` bounds the mean of ``n`` exponential durations (B. Epstein and M. Sobel, "Life
    testing", 1953); beyond 50 the
    quantiles by E. B. Wilson and M. M. Hilferty, "The distribution of chi-square", 1931.
    """
    total = math.fsum(durations)
    if not durations or total <= 0:
        return None
    count = len(durations)
    low, high = (2 * total / _chi_square(2 * count, z) for z in (Z95, -Z95))
    return ServiceTime(attempts=count, mean_s=total / count, low_s=low, high_s=high)


def _chi_square(freedom: int, z: float) -> float:
    """Return the quantile of chi-square, for an even number of degrees of freedom, at the normal quantile ``z``."""
    spread = 2 / (9 * freedom)
    if freedom > 2 * EXACT_UP_TO:
        return float(freedom * (1 - spread + z * math.sqrt(spread)) ** 3)
    # The approximation is wrong by half in the lower tail of few; there the distribution is a short sum.
    wanted = 0.5 * math.erfc(-z / math.sqrt(2))
    low, high = 0.0, 20.0 * freedom
    for _ in range(80):
        middle = (low + high) / 2
        term = below = math.exp(-middle / 2)
        for place in range(1, freedom // 2):
            term *= middle / 2 / place
            below += term
        low, high = (middle, high) if 1 - below < wanted else (low, middle)
    return (low + high) / 2


def fit_call(costs: Sequence[CallCost]) -> CallParts | None:
    """Tell what a call costs whatever is in it, per prompt token and per output token, by least squares.

    Returns:
        The parts; None where too little was measured, or where the measurements say nothing sensible of one of them
        (they hardly differ, or a part would be negative).
    """
    rows = [one for one in costs if one.calls > 0 and one.model_s > 0]
    if len(rows) < MIN_CALLS:
        return None
    normal = [[0.0] * 4 for _ in range(3)]
    for one in rows:
        values = (one.calls, one.computed_tokens, one.completion_tokens, one.model_s)
        for line in range(3):
            for column in range(4):
                normal[line][column] += float(values[line]) * float(values[column])
    found = _solve(normal)
    if found is None or any(part < 0 for part in found):
        return None
    tau_s, prefill_s, decode_s = found
    return CallParts(tau_s=tau_s, prefill_s=prefill_s, decode_s=decode_s, attempts=len(rows))


def _solve(lines: list[list[float]]) -> list[float] | None:
    """Solve three equations by elimination; None where they are not three."""
    scales = [math.sqrt(lines[place][place]) for place in range(3)]
    if min(scales) <= 0:
        return None
    # Scaled to ones on the diagonal, so that "singular" means the same for seconds and for tokens.
    table = [
        [lines[row][column] / (scales[row] * scales[column]) for column in range(3)]
        + [lines[row][3] / scales[row]]
        for row in range(3)
    ]
    for place in range(3):
        pivot = max(range(place, 3), key=lambda row: abs(table[row][place]))
        if abs(table[pivot][place]) < 1e-9:
            return None
        table[place], table[pivot] = table[pivot], table[place]
        for row in range(3):
            if row != place:
                factor = table[row][place] / table[place][place]
                table[row] = [a - factor * b for a, b in zip(table[row], table[place], strict=True)]
    return [table[place][3] / table[place][place] / scales[place] for place in range(3)]
