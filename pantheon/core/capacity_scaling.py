"""What more at once is worth: how much longer an attempt takes when others run beside it.

One attempt among ``c`` takes ``t(c) = a + b c`` for each unit of its work, with ``t(1) = a + b`` as the unit of time,
so ``a = 1 - b``. Then ``c`` slots together do ``c / t(c)`` times what one does alone: linear where ``b`` is 0, nothing
more than one where ``b`` is 1, and never more than ``1 / b``.

Invariants:
- nothing is promised beyond what was measured: there the answer is an interval, from no gain to linear gain;
- where only one number at once was measured, the likely answer is the cautious end of that interval;
- a curve needs the same work at two numbers at once, so that easy and hard work are not taken for slow and fast.

Source: G. M. Amdahl, "Validity of the single processor approach", 1967, in the form of N. J. Gunther, "Guerrilla
Capacity Planning", 2007, section 4.4 (``b`` is his sigma; his coherency term is left out, for few points do not carry
it). A batching server is one such machine: a step of decoding costs a part for itself and a part for each call in it.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from pantheon.core.model import Frozen

MIN_ATTEMPTS = 3
"""Attempts at one number at once below which they are not a point of the curve."""
MIN_SPREAD = 1.5
"""Times as many at once that the points of one kind of work must reach from the fewest."""
SLACK = 0.1
"""Share, beside half of one, by which a number at once may be beyond those measured and still be one of them."""
SLOWING_RANGE = (1e-4, 10.0)
SLOWING_GRID = 200
REFINEMENTS = 60


class Pace(NamedTuple):
    """Attempts of one kind of work that ran beside as many others."""

    work: str
    in_flight: float
    """Slots of the resource that were in use while they ran, their own included, on average."""
    attempts: int
    seconds: float
    """Of all of them together."""
    units: float
    """What they did in that time: output tokens of an agent, attempts of anything else."""


class Scaling(Frozen):
    """How work on one resource slows down when more of it runs at once."""

    slowing: float | None = Field(default=None, ge=0)
    """``b``: what each other one in flight adds, as a share of what an attempt takes alone; None: not measured."""
    low: float = Field(default=1.0, ge=1)
    high: float = Field(default=1.0, ge=1)
    """The fewest and the most at once that were measured."""
    attempts: int = 0
    rms: float | None = None
    """Relative distance of the points from the curve: root of the mean squared."""

    def seconds(self, in_flight: float) -> float:
        """Return ``t(c)``: an attempt's time among ``c``, in times of a lone one. 1 where no curve was measured."""
        return 1.0 + (self.slowing or 0.0) * (in_flight - 1.0)

    def throughput(self, in_flight: float) -> float:
        """Return ``c / t(c)``: how many times as much is done each second as by one alone."""
        return in_flight / self.seconds(in_flight)

    def covers(self, slots: float) -> bool:
        """Tell whether that many at once are among those measured."""
        return slots <= self.high * (1 + SLACK) + 0.5 and slots >= self.low * (1 - SLACK) - 0.5


class Stretch(NamedTuple):
    """How many times as long as measured something takes when other numbers run at once."""

    likely: float
    low: float
    """If every further slot were worth a whole one."""
    high: float
    """If further slots were worth nothing."""


SAME = Stretch(1.0, 1.0, 1.0)


def mean_in_flight(spans: Sequence[tuple[float, float, int]]) -> list[float]:
    """Return, for each span, how much was in flight while it lasted, itself included, averaged over its time.

    Args:
        spans: start, end and slots held; times in seconds from any origin. One that lasted no time counts itself alone.
    """
    change: dict[float, int] = defaultdict(int)
    for start, end, held in spans:
        if end > start:
            change[start] += held
            change[end] -= held
    area, held_now, before = 0.0, 0, 0.0
    until: dict[float, float] = {}
    for at in sorted(change):
        area += held_now * (at - before)
        held_now, before, until[at] = held_now + change[at], at, area
    return [
        max((until[end] - until[start]) / (end - start), float(held)) if end > start else float(held)
        for start, end, held in spans
    ]


def fit_scaling(paces: Sequence[Pace]) -> Scaling:
    """Return how work slows down with the number in flight, by least squares over the logarithms of its times.

    Each kind of work has its own time alone, which follows from ``b``, so only ``b`` is searched: on a grid, then by
    golden section. Points are weighted by their attempts.

    Returns:
        The curve; without ``slowing`` where no kind of work was measured at numbers that are far enough apart.

    Source: variable projection, G. Golub and V. Pereyra, 1973.
    """
    groups: dict[str, list[Pace]] = defaultdict(list)
    for one in paces:
        if one.attempts >= MIN_ATTEMPTS and one.seconds > 0 and one.units > 0:
            groups[one.work].append(one)
    telling = [group for group in groups.values() if _tells(group)]
    points = [one for group in telling or groups.values() for one in group]
    used = points or [one for one in paces if one.attempts > 0]
    if not used:
        return Scaling()
    low = max(min(one.in_flight for one in used), 1.0)
    high = max(low, max(one.in_flight for one in used))
    attempts = sum(one.attempts for one in used)
    if not telling:
        return Scaling(low=low, high=high, attempts=attempts)
    slowing = _search(telling)
    rms = math.sqrt(_distance(telling, slowing) / attempts)
    return Scaling(slowing=slowing, low=low, high=high, attempts=attempts, rms=rms)


def stretch(scaling: Scaling, paces: Sequence[Pace], slots: float) -> Stretch:
    """Return how many times as long as it was measured a kind of work takes with every slot in use.

    Args:
        scaling: of the resource.
        paces: of this kind of work; none: it is known, or guessed, for a lone attempt.
        slots: at least 1.
    """
    units = math.fsum(one.units for one in paces)
    if scaling.slowing is None:
        was = math.fsum(one.units * one.in_flight for one in paces) / units if units > 0 else 1.0
        if Scaling(low=max(was, 1.0), high=max(was, 1.0)).covers(slots):
            return SAME
        flat = slots / was
        return Stretch(flat, 1.0, flat) if flat > 1 else Stretch(1.0, flat, 1.0)
    had = math.fsum(one.units * scaling.seconds(one.in_flight) for one in paces) / units if units > 0 else 1.0
    likely = scaling.seconds(slots) / had
    if scaling.covers(slots):
        return Stretch(likely, likely, likely)
    edge = scaling.high if slots > scaling.high else scaling.low
    same_time, same_speed = scaling.seconds(edge) / had, scaling.seconds(edge) / had * slots / edge
    return Stretch(likely, min(likely, same_time, same_speed), max(likely, same_time, same_speed))


def _tells(group: Sequence[Pace]) -> bool:
    places = [one.in_flight for one in group]
    return max(places) >= MIN_SPREAD * min(places)


def _search(groups: Sequence[Sequence[Pace]]) -> float:
    low, high = (math.log(bound) for bound in SLOWING_RANGE)
    step = (high - low) / SLOWING_GRID
    best = min(
        (low + step * place for place in range(SLOWING_GRID + 1)),
        key=lambda place: _distance(groups, math.exp(place)),
    )
    left, right = best - step, best + step
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(REFINEMENTS):
        a, b = right - golden * (right - left), left + golden * (right - left)
        if _distance(groups, math.exp(a)) <= _distance(groups, math.exp(b)):
            right = b
        else:
            left = a
    found = (0.0, math.exp(best), math.exp((left + right) / 2))
    return min(found, key=lambda slowing: _distance(groups, slowing))


def _distance(groups: Sequence[Sequence[Pace]], slowing: float) -> float:
    """Return the weighted sum of squares of what is left when each kind of work has its best time alone."""
    total = 0.0
    for group in groups:
        alone = [
            math.log(one.seconds / one.units) - math.log1p(slowing * max(one.in_flight - 1.0, 0.0))
            for one in group
        ]
        weight = sum(one.attempts for one in group)
        mean = math.fsum(one.attempts * value for one, value in zip(group, alone, strict=True)) / weight
        total += math.fsum(
            one.attempts * (value - mean) ** 2 for one, value in zip(group, alone, strict=True)
        )
    return total
