"""The area under the ROC curve and Cohen's kappa, against values that are known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.ranking import cohen_kappa, roc_area


def test_known_areas() -> None:
    """Full separation is 1, its opposite 0, one number for all a coin, and a worked example three quarters."""
    assert roc_area([2, 3], [0, 1]).value == 1
    assert roc_area([0, 1], [2, 3]).value == 0
    assert roc_area([1, 1], [1, 1, 1]).value == 0.5
    assert roc_area([0.8, 0.35], [0.1, 0.4]).value == 0.75
    assert roc_area([], [1]).value is None


def test_the_interval_of_an_area_is_the_published_one() -> None:
    """Hanley and McNeil's own example: an area of 0.893 from 58 and 51 has a standard error of about 0.032."""
    good = [1.0] * 893 + [0.0] * 107
    area = roc_area(good, [0.5])
    assert area.value == pytest.approx(0.893)
    half = roc_area([1.0] * 52 + [0.0] * 6, [0.5] * 51)
    assert half.value == pytest.approx(0.8966, abs=1e-4)
    assert (half.high - half.low) / 2 / 1.96 == pytest.approx(0.031, abs=0.002)


def test_known_kappas() -> None:
    """The usual worked example: 20 both yes, 5 and 10 one yes, 15 both no: 0.4."""
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)
    assert cohen_kappa([(True, True), (False, False)]) == 1
    assert cohen_kappa([(True, True)]) is None
    assert cohen_kappa([]) is None


_numbers = st.lists(st.floats(-5, 5), min_size=1, max_size=20)


@given(_numbers, _numbers)
def test_areas_mirror_and_lie_in_their_interval(good: list[float], bad: list[float]) -> None:
    """Exchanging good and bad turns the area round; the interval holds it and stays between 0 and 1."""
    area, mirrored = roc_area(good, bad), roc_area(bad, good)
    assert area.value is not None
    assert mirrored.value is not None
    assert area.value + mirrored.value == pytest.approx(1)
    assert 0 <= area.low <= area.value <= area.high <= 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_kappa_is_symmetric_and_at_most_one(pairs: list[tuple[bool, bool]]) -> None:
    """Who is named first does not matter."""
    found = cohen_kappa(pairs)
    assert found == cohen_kappa([(b, a) for a, b in pairs])
    assert found is None or found <= 1
