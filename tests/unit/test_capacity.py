"""Capacity formulas against their definitions, a published value and by hand."""

import math
from fractions import Fraction

import pytest

from pantheon.core.capacity import (
    LearningCurve,
    Worked,
    batched_call_s,
    erlang_b,
    erlang_c,
    expect_accepted,
    fit_learning,
    load_of,
    mmc,
    queue_hours,
)


def exactly(servers: int, offered: Fraction) -> tuple[Fraction, Fraction]:
    """Return Erlang B and C as the sums that define them, without any rounding."""
    terms = [offered**k / math.factorial(k) for k in range(servers + 1)]
    waiting = terms[-1] * servers / (servers - offered)
    return terms[-1] / sum(terms), waiting / (sum(terms[:-1]) + waiting)


@pytest.mark.parametrize("servers", [1, 2, 3, 5, 8, 15, 25, 60])
@pytest.mark.parametrize("load", ["1/20", "1/2", "4/5", "9/10", "99/100"])
def test_the_recursion_agrees_with_the_definition(servers: int, load: str) -> None:
    """A table over servers and loads, from the defining sums in exact fractions, is met to twelve digits."""
    offered = Fraction(load) * servers
    blocked, waits = exactly(servers, offered)
    assert erlang_b(servers, float(offered)) == pytest.approx(float(blocked), rel=1e-12)
    assert erlang_c(servers, float(offered)) == pytest.approx(float(waits), rel=1e-12)


def test_erlang_b_agrees_with_a_published_calculator() -> None:
    """15 lines that lose one call in a hundred carry 8.108 erlangs (Westbay's manual of its Erlang B calculator)."""
    rounded = 0.0005
    assert erlang_b(15, 8.108 - rounded) < 0.01 < erlang_b(15, 8.108 + rounded)


@pytest.mark.parametrize(
    ("servers", "offered", "waits"),
    [(1, 0.5, 1 / 2), (2, 1.0, 1 / 3), (2, 1.5, 9 / 14), (3, 2.0, 4 / 9), (5, 4.0, 128 / 231)],
)
def test_erlang_c_agrees_with_fractions_by_hand(servers: int, offered: float, waits: float) -> None:
    """Small cases that can be worked out on paper."""
    assert erlang_c(servers, offered) == pytest.approx(waits, rel=1e-12)


def test_thousands_of_servers_neither_overflow_nor_vanish() -> None:
    """Factorials of 5,000 are far beyond a float; the recursion does not meet them."""
    assert 0 < erlang_c(5_000, 4_990.0) < 1


def test_one_server_is_the_textbook_queue() -> None:
    """M/M/1 at 0.75: waits 3 services, stays 4, and 2.25 stand in line."""
    found = mmc(0.75, 1.0, 1)
    assert (found.load, found.waits) == (0.75, pytest.approx(0.75))
    assert (found.wait_s, found.stay_s, found.queue) == pytest.approx((3.0, 4.0, 2.25))
    assert found.wait_p95_s == pytest.approx(math.log(0.75 / 0.05) / 0.25)


def test_what_cannot_be_kept_up_with_has_no_waiting_time() -> None:
    """At a load of 1 and above everybody waits, and no number is made up for how long."""
    for arrivals in (2.0, 3.0):
        found = mmc(arrivals, 1.0, 2)
        assert (found.waits, found.wait_s, found.queue, found.wait_p95_s) == (1.0, None, None, None)


def test_an_idle_queue_waits_for_nothing() -> None:
    """Without arrivals nobody waits."""
    found = mmc(0.0, 1.0, 3)
    assert (found.load, found.waits, found.wait_s, found.wait_p95_s) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("bad", [(-1.0, 1.0, 1), (1.0, 0.0, 1), (1.0, 1.0, 0)])
def test_impossible_queues_are_refused(bad: tuple[float, float, int]) -> None:
    """Negative arrivals, no service and no server are errors."""
    with pytest.raises(ValueError, match="positive"):
        load_of(*bad)


def test_expected_changes_by_hand() -> None:
    """Two kinds of work over one hour, each accepted by two judges."""
    work = [Worked(per_s=0.01, accepted=0.5), Worked(per_s=0.02, accepted=1.0)]
    assert expect_accepted(3600, work) == pytest.approx(9 + 72)


def test_batching_shares_the_prefill_only() -> None:
    """What every call costs and its own tokens stay; the prefix is shared."""
    assert batched_call_s(1, tau_s=1, prefill_s=8, decode_s=2) == 11
    assert batched_call_s(8, tau_s=1, prefill_s=8, decode_s=2) == 4
    with pytest.raises(ValueError, match="at least one"):
        batched_call_s(0, tau_s=1, prefill_s=8, decode_s=2)


def test_the_hours_of_a_queue() -> None:
    """Work over slots, unless one chain alone is longer."""
    assert queue_hours(7200, 2) == 1
    assert queue_hours(7200, 8, longest_s=5400) == 1.5


def test_a_fit_finds_the_curve_that_the_points_lie_on() -> None:
    """Four exact points give back the curve, and the forecast with it."""
    curve = LearningCurve(p0=0.4, pmax=0.9, alpha=0.02)
    found = fit_learning([(n, curve.at(n)) for n in (0, 20, 60, 150)])
    assert found is not None
    assert (found.curve.p0, found.curve.pmax) == pytest.approx((0.4, 0.9), abs=1e-4)
    assert found.curve.alpha == pytest.approx(0.02, rel=1e-3)
    assert found.rms < 1e-6


def test_two_points_are_no_curve() -> None:
    """Fewer than three distinct numbers of examples fit nothing."""
    assert fit_learning([(0, 0.4), (10, 0.5), (10, 0.6)]) is None


def test_a_falling_pass_rate_is_not_forecast() -> None:
    """Forgetting gives a level curve at the mean."""
    found = fit_learning([(0, 0.8), (10, 0.6), (20, 0.4)])
    assert found is not None
    assert found.curve.at(0) == pytest.approx(found.curve.at(1_000)) == pytest.approx(0.6)
