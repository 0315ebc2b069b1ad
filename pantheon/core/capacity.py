"""What a night can take: queues, expected results and the learning curve, as pure functions.

Invariants:
- rates are per second, durations in seconds; nothing here reads a clock, and nothing is random;
- a system that cannot keep up (load 1 or more) has no waiting time: None, never a negative number;
- probabilities stay in [0, 1], also for thousands of servers: the recursion neither overflows nor cancels.

Left to others: where arrivals, durations and acceptance come from (``report.capacity``).
"""

import math
from collections.abc import Iterable, Sequence

from pydantic import Field

from pantheon.core.model import Frozen

ALPHA_RANGE = (1e-5, 1e2)
"""Rates of learning that a fit looks among, per example."""
ALPHA_GRID = 400
REFINEMENTS = 60


class QueueFigures(Frozen):
    """A queue in its steady state; None stands for a time or a length without end."""

    arrivals_per_s: float
    served_per_s: float
    """By one server that is never idle."""
    servers: int
    load: float
    """Share of the servers' time that is used; 1 or more cannot be kept up with."""
    waits: float
    """Probability that an arrival has to wait."""
    wait_s: float | None
    """Mean time before the service begins, over all arrivals."""
    stay_s: float | None
    """Mean time until the service has ended."""
    queue: float | None
    """Mean number of those who wait."""
    wait_p95_s: float | None
    """What 95 of 100 wait at most."""


class Worked(Frozen):
    """One kind of work, as the expected results need it."""

    per_s: float = Field(ge=0)
    """Attempts that are served per second when nothing else is."""
    accepted: float = Field(ge=0, le=1)
    """Probability that one judge accepts; two that must agree square it."""


class LearningCurve(Frozen):
    """``p(k) = p0 + (pmax - p0) * (1 - exp(-alpha * N_k))``."""

    p0: float = Field(ge=0, le=1)
    """Pass rate without any example."""
    pmax: float = Field(ge=0, le=1)
    """Pass rate that is approached."""
    alpha: float = Field(ge=0)
    """How fast, per example."""

    def at(self, examples: float) -> float:
        """Return the pass rate after a number of examples.

        Source: DESIGN.md, section 11 ("learning curve").
        """
        return self.p0 + (self.pmax - self.p0) * -math.expm1(-self.alpha * examples)


class FittedCurve(Frozen):
    """A learning curve through measured points."""

    curve: LearningCurve
    points: int
    rms: float
    """Root of the mean squared distance of the points from the curve."""


def erlang_b(servers: int, offered: float) -> float:
    """Return the probability that an arrival finds every server busy, where nobody waits.

    Args:
        servers: at least 0.
        offered: arrivals times mean service time, in erlangs; not negative.

    Source: the recursion ``B(c) = a B(c-1) / (c + a B(c-1))``, A. K. Erlang, 1917, "Solution of some problems in the
    theory of probabilities of significance in automatic telephone exchanges".
    """
    if servers < 0 or not offered >= 0:
        raise ValueError("servers and offered load are not negative")
    blocked = 1.0
    for one in range(1, servers + 1):
        blocked = offered * blocked / (one + offered * blocked)
    return blocked


def erlang_c(servers: int, offered: float) -> float:
    """Return the probability that an arrival has to wait; 1 where the servers cannot keep up.

    Args:
        servers: at least 1.
        offered: arrivals times mean service time, in erlangs; not negative.

    Source: ``C = B / (1 - rho (1 - B))`` with ``rho = a / c`` (Erlang 1917; L. Kleinrock, "Queueing Systems" I, 3.5).
    """
    if servers < 1:
        raise ValueError("somebody has to serve")
    if offered >= servers:
        return 1.0
    blocked = erlang_b(servers, offered)
    return blocked / (1.0 - offered / servers * (1.0 - blocked))


def load_of(arrivals_per_s: float, served_per_s: float, servers: int) -> float:
    """Return ``rho = lambda / (c * mu)``.

    Source: DESIGN.md, section 11 ("load"), with equal servers.
    """
    if arrivals_per_s < 0 or served_per_s <= 0 or servers < 1:
        raise ValueError("arrivals are not negative; the service rate and the servers are positive")
    return arrivals_per_s / (servers * served_per_s)


def mmc(arrivals_per_s: float, served_per_s: float, servers: int) -> QueueFigures:
    """Return the figures of an M/M/c queue: random arrivals, exponential service, ``servers`` equal servers.

    Source: ``W = C / (c mu - lambda)``, ``P(wait > t) = C exp(-(c mu - lambda) t)``, Little's law ``L = lambda W``
    (Kleinrock, "Queueing Systems" I, 3.5).
    """
    load = load_of(arrivals_per_s, served_per_s, servers)
    if load >= 1:
        waits, wait_s, p95 = 1.0, None, None
    else:
        waits = erlang_c(servers, arrivals_per_s / served_per_s)
        spare = servers * served_per_s - arrivals_per_s
        wait_s = waits / spare
        p95 = max(math.log(waits / 0.05) / spare, 0.0) if waits > 0 else 0.0
    return QueueFigures(
        arrivals_per_s=arrivals_per_s,
        served_per_s=served_per_s,
        servers=servers,
        load=load,
        waits=waits,
        wait_s=wait_s,
        stay_s=None if wait_s is None else wait_s + 1 / served_per_s,
        queue=None if wait_s is None else arrivals_per_s * wait_s,
        wait_p95_s=p95,
    )


def expect_accepted(night_s: float, work: Iterable[Worked]) -> float:
    """Return how many changes a night of ``night_s`` seconds is expected to land: ``T * sum(mu_i * p_i^2)``.

    Source: DESIGN.md, section 11; squared, because two judges have to agree.
    """
    return night_s * math.fsum(one.per_s * one.accepted**2 for one in work)


def batched_call_s(batch: int, *, tau_s: float, prefill_s: float, decode_s: float) -> float:
    """Return the latency of a call that shares its prefill: ``tau + s_prefill / b + s_decode``.

    Args:
        batch: calls that share it, at least 1.
        tau_s: what every call costs, however large the batch.
        prefill_s: of the shared prefix, once.
        decode_s: of the call's own tokens.

    Source: DESIGN.md, section 11 ("batching").
    """
    if batch < 1:
        raise ValueError("a batch has at least one call")
    return tau_s + prefill_s / batch + decode_s


def queue_hours(work_s: float, slots: int, longest_s: float = 0.0) -> float:
    """Return the hours that a queue needs at least: all its work over the slots, and never less than its longest path.

    Source: R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969.
    """
    if slots < 1:
        raise ValueError("a night has at least one slot")
    return max(work_s / slots, longest_s) / 3600


def fit_learning(points: Sequence[tuple[float, float]]) -> FittedCurve | None:
    """Fit a learning curve to (examples, pass rate) by least squares.

    For each rate ``alpha`` the other two follow by linear least squares, so only ``alpha`` has to be searched: on a
    grid, then by golden section around its best place. Few points are enough, and nothing can diverge.

    Args:
        points: examples (not negative) and pass rate (0 to 1).

    Returns:
        The curve; None where three points at distinct numbers of examples are not there. A pass rate that falls
        gives a level curve: forgetting is not forecast.

    Source: variable projection, G. Golub and V. Pereyra, 1973.
    """
    if len({examples for examples, _ in points}) < 3:
        return None
    low, high = (math.log(bound) for bound in ALPHA_RANGE)
    step = (high - low) / ALPHA_GRID
    grid = [low + step * place for place in range(ALPHA_GRID + 1)]
    best = min(grid, key=lambda place: _project(points, math.exp(place))[0])
    left, right = best - step, best + step
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(REFINEMENTS):
        a, b = right - golden * (right - left), left + golden * (right - left)
        if _project(points, math.exp(a))[0] <= _project(points, math.exp(b))[0]:
            right = b
        else:
            left = a
    # Compared once more: a section between equal valleys may end in the worse one.
    squares, curve = min(
        (_project(points, math.exp(place)) for place in (best, (left + right) / 2)),
        key=lambda found: found[0],
    )
    return FittedCurve(curve=curve, points=len(points), rms=math.sqrt(squares / len(points)))


def _project(points: Sequence[tuple[float, float]], alpha: float) -> tuple[float, LearningCurve]:
    """Return the sum of squares of the best curve with this ``alpha``, and the curve."""
    rises = [-math.expm1(-alpha * examples) for examples, _ in points]
    count = len(points)
    mean_x, mean_y = math.fsum(rises) / count, math.fsum(y for _, y in points) / count
    spread = math.fsum((x - mean_x) ** 2 for x in rises)
    shared = math.fsum((x - mean_x) * (y - mean_y) for x, (_, y) in zip(rises, points, strict=True))
    gain = max(shared / spread, 0.0) if spread > 1e-18 else 0.0
    p0 = min(max(mean_y - gain * mean_x, 0.0), 1.0)
    if p0 in (0.0, 1.0):
        # At the edge, the best slope through the edge.
        energy = math.fsum(x * x for x in rises)
        through = math.fsum(x * (y - p0) for x, (_, y) in zip(rises, points, strict=True))
        gain = max(through / energy, 0.0) if energy > 1e-18 else 0.0
    pmax = min(p0 + gain, 1.0)
    if p0 + gain > 1.0:
        # Held at 1, the best start: y - x = p0 (1 - x).
        rest = math.fsum((1 - x) ** 2 for x in rises)
        start = math.fsum((y - x) * (1 - x) for x, (_, y) in zip(rises, points, strict=True))
        p0 = min(max(start / rest, 0.0), 1.0) if rest > 1e-18 else p0
    curve = LearningCurve(p0=p0, pmax=max(pmax, p0), alpha=alpha)
    return math.fsum((curve.at(examples) - y) ** 2 for examples, y in points), curve
