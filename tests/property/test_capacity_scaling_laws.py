"""Laws of what more at once is worth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.capacity_scaling import Pace, Scaling, fit_scaling, mean_in_flight, stretch

slowings = st.floats(0, 5)
numbers = st.integers(1, 512)
paces = st.lists(
    st.builds(
        Pace,
        work=st.sampled_from("ab"),
        in_flight=st.floats(1, 64),
        attempts=st.integers(0, 50),
        seconds=st.integers(0, 10**8).map(lambda ms: ms / 1000),
        units=st.integers(0, 10**6),
    ),
    max_size=8,
)


@given(st.floats(0, 1), numbers)
def test_throughput_rises_and_stays_below_linear_and_its_ceiling(slowing: float, count: int) -> None:
    """More at once never do less, nor more than so many alone, nor more than ``1 / b``."""
    curve = Scaling(slowing=slowing)
    assert curve.throughput(1) == 1
    assert curve.throughput(count) <= curve.throughput(count + 1) * (1 + 1e-12)
    assert curve.throughput(count) <= count
    assert curve.throughput(count) * slowing <= 1 + 1e-12


@given(slowings, st.floats(0.01, 1e3), st.sets(st.integers(1, 64), min_size=2, max_size=6))
def test_exact_points_are_gone_through(slowing: float, alone_s: float, at_once: set[int]) -> None:
    """Points of a curve give back its times, at them and between them."""
    if max(at_once) < 1.5 * min(at_once):
        return
    exact = [Pace("a", c, 9, alone_s * (1 + slowing * (c - 1)) * 100, 100) for c in sorted(at_once)]
    found = fit_scaling(exact)
    assert found.slowing is not None
    middle = (min(at_once) + max(at_once)) / 2
    for one in (*at_once, middle):
        wanted = (1 + slowing * (one - 1)) / (1 + slowing * (min(at_once) - 1))
        assert found.seconds(one) / found.seconds(min(at_once)) == pytest.approx(wanted, rel=2e-2)


@given(paces, numbers)
def test_the_likely_time_is_inside_its_interval(known: list[Pace], slots: int) -> None:
    """Whatever was measured: positive, ordered, and never more than linear better than the best known."""
    found = fit_scaling(known)
    assert found.slowing is None or found.slowing >= 0
    likely, low, high = stretch(found, [one for one in known if one.work == "a"], slots)
    assert 0 < low <= likely <= high


@given(paces, numbers)
def test_what_is_not_measured_is_never_a_bare_promise(known: list[Pace], slots: int) -> None:
    """Beyond what was measured, no gain at all is always inside the interval."""
    found = fit_scaling(known)
    if found.slowing is None or found.covers(slots):
        return
    mine = [one for one in known if one.work == "a"]
    edge = found.high if slots > found.high else found.low
    measured, asked = stretch(found, mine, edge), stretch(found, mine, slots)
    if slots > edge:
        assert asked.high >= measured.likely * slots / edge * (1 - 1e-9)
    assert asked.low <= measured.likely * max(slots / edge, 1) * (1 + 1e-9)


@given(st.integers(1, 64), st.integers(1, 512))
def test_one_number_at_once_leaves_everything_open(was: int, slots: int) -> None:
    """Where only one number was measured, another one does between as much work each second and linearly more."""
    known = [Pace("a", was, 9, 90.0, 9)]
    likely, low, high = stretch(fit_scaling(known), known, slots)
    if not fit_scaling(known).covers(slots):
        assert sorted((1.0, slots / was)) == pytest.approx([low, high])
        assert likely == high


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e3), st.integers(1, 4)), max_size=20))
def test_an_overlap_is_at_least_itself_and_at_most_all(spans: list[tuple[float, float, int]]) -> None:
    """Nobody has less in flight than itself, nor more than everybody."""
    found = mean_in_flight([(start, start + length, held) for start, length, held in spans])
    everybody = sum(held for _, _, held in spans)
    for (_, _, held), value in zip(spans, found, strict=True):
        assert held <= value <= everybody * (1 + 1e-9) + 1e-9


@given(st.integers(1, 40), st.integers(1, 30))
def test_waves_have_their_size_in_flight(size: int, waves: int) -> None:
    """Attempts that begin and end together had each other in flight, and nobody of the next wave."""
    spans = [(10.0 * wave, 10.0 * wave + 10, 1) for wave in range(waves) for _ in range(size)]
    assert mean_in_flight(spans) == pytest.approx([size] * (size * waves))
