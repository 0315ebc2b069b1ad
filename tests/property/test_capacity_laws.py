"""Laws of the capacity formulas, and a simulation that they must agree with."""

import heapq
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon.core.capacity import (
    LearningCurve,
    Worked,
    batched_call_s,
    erlang_b,
    erlang_c,
    expect_accepted,
    fit_learning,
    mmc,
    queue_hours,
)

servers = st.integers(1, 400)
loads = st.floats(0, 0.99)
shares = st.floats(0, 1)
times = st.floats(0, 1e5)


@given(servers, st.floats(0, 1e6))
def test_probabilities_are_probabilities(count: int, offered: float) -> None:
    """Whatever is offered, nothing leaves [0, 1], and waiting is at least as likely as being turned away."""
    blocked, waits = erlang_b(count, offered), erlang_c(count, offered)
    assert 0 <= blocked <= waits <= 1


@given(servers, loads, loads)
def test_more_load_never_waits_less(count: int, one: float, other: float) -> None:
    """Waiting grows with the load, in probability, in mean and in its p95."""
    less, more = (mmc(load * count, 1.0, count) for load in sorted((one, other)))
    for name in ("waits", "wait_s", "queue", "wait_p95_s"):
        assert getattr(less, name) <= getattr(more, name) * (1 + 1e-9) + 1e-12


@given(servers, loads)
def test_another_server_never_makes_anybody_wait_longer(count: int, load: float) -> None:
    """At the same arrivals, one server more waits at most as long."""
    before, after = mmc(load * count, 1.0, count), mmc(load * count, 1.0, count + 1)
    assert after.waits <= before.waits + 1e-12
    assert (after.wait_s or 0) <= (before.wait_s or 0) + 1e-12


@given(st.floats(0.01, 50))
def test_with_servers_without_end_nobody_waits(offered: float) -> None:
    """A thousand servers for at most fifty erlangs: what stays is the service itself."""
    found = mmc(offered, 1.0, 1_000)
    assert found.waits < 1e-9
    assert found.stay_s == pytest.approx(1.0)


@given(servers, loads, st.floats(1e-4, 1e3))
def test_littles_law(count: int, load: float, served_per_s: float) -> None:
    """Those who wait are arrivals times waiting time; those inside are arrivals times the stay."""
    found = mmc(load * count * served_per_s, served_per_s, count)
    assert found.queue == pytest.approx(found.arrivals_per_s * (found.wait_s or 0))
    inside = found.arrivals_per_s * (found.stay_s or 0)
    assert inside == pytest.approx((found.queue or 0) + found.load * count)


@given(times, st.lists(st.tuples(st.floats(0, 10), shares), max_size=5), shares)
def test_better_agents_land_more(night_s: float, work: list[tuple[float, float]], better: float) -> None:
    """The expected number is never negative, never above what is served, and grows with acceptance."""
    kinds = [Worked(per_s=per_s, accepted=accepted) for per_s, accepted in work]
    expected = expect_accepted(night_s, kinds)
    assert 0 <= expected <= night_s * sum(one.per_s for one in kinds) * (1 + 1e-9)
    raised = [Worked(per_s=one.per_s, accepted=max(one.accepted, better)) for one in kinds]
    assert expect_accepted(night_s, raised) >= expected * (1 - 1e-9)


@given(st.integers(1, 100), times, times, times)
def test_a_larger_batch_is_never_slower_per_call(
    batch: int, tau: float, prefill: float, decode: float
) -> None:
    """Sharing saves, and never more than the prefill."""
    alone, shared, more = (
        batched_call_s(size, tau_s=tau, prefill_s=prefill, decode_s=decode) for size in (1, batch, batch + 1)
    )
    assert tau + decode <= more <= shared <= alone


@given(times, st.integers(1, 64), times)
def test_a_queue_needs_its_work_and_its_longest_path(work_s: float, slots: int, longest_s: float) -> None:
    """Neither can be undercut, and the other slots only help with the work."""
    hours = queue_hours(work_s, slots, longest_s)
    assert hours * 3600 >= longest_s * (1 - 1e-12) - 1e-300
    assert queue_hours(work_s, slots + 1, longest_s) <= hours


@given(shares, shares, st.floats(0, 10), times, times)
def test_a_curve_rises_from_its_start_to_its_ceiling(
    a: float, b: float, alpha: float, m: float, n: float
) -> None:
    """It never falls and never leaves the two."""
    curve = LearningCurve(p0=min(a, b), pmax=max(a, b), alpha=alpha)
    less, more = (curve.at(count) for count in sorted((m, n)))
    assert curve.p0 - 1e-12 <= less <= more + 1e-12 <= curve.pmax + 2e-12


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e4), shares), max_size=8))
def test_a_fit_is_a_curve_and_no_worse_than_the_mean(points: list[tuple[float, float]]) -> None:
    """Whatever the points: pass rates between 0 and 1, no falling, and no worse than a level line."""
    found = fit_learning(points)
    if found is None:
        assert len({examples for examples, _ in points}) < 3
        return
    assert 0 <= found.curve.p0 <= found.curve.pmax <= 1
    mean = sum(rate for _, rate in points) / len(points)
    level = math.sqrt(sum((rate - mean) ** 2 for _, rate in points) / len(points))
    assert found.rms <= level + 1e-6


@settings(deadline=None)
@given(shares, shares, st.floats(0.002, 0.2))
def test_exact_points_are_gone_through(a: float, b: float, alpha: float) -> None:
    """Points of a curve are fitted to within a thousandth, and so is what comes between them."""
    curve = LearningCurve(p0=min(a, b), pmax=max(a, b), alpha=alpha)
    found = fit_learning([(n, curve.at(n)) for n in (0, 10, 30, 80, 200)])
    assert found is not None
    assert all(abs(found.curve.at(n) - curve.at(n)) < 1e-3 for n in (5, 20, 100))


@pytest.mark.parametrize(("count", "load"), [(1, 0.6), (2, 0.75), (5, 0.8), (16, 0.9)])
def test_a_simulated_queue_agrees(count: int, load: float) -> None:
    """200,000 simulated arrivals wait as often and as long as the formulas say, to within some percent."""
    waits, total = simulate(count, load, arrivals=200_000, seed=7)
    expected = mmc(load * count, 1.0, count)
    assert waits == pytest.approx(expected.waits, rel=0.06)
    assert total == pytest.approx(expected.wait_s, rel=0.12)


def simulate(count: int, load: float, *, arrivals: int, seed: int) -> tuple[float, float]:
    """Return the share that waited and the mean wait of a first-come queue with services of 1 s on average."""
    draw = random.Random(seed)
    free = [0.0] * count
    now = waited = 0.0
    late = 0
    for _ in range(arrivals):
        now += draw.expovariate(load * count)
        start = max(now, free[0])
        late += start > now
        waited += start - now
        heapq.heapreplace(free, start + draw.expovariate(1.0))
    return late / arrivals, waited / arrivals
