"""Laws of the report's figures."""

import re

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.agreement import Verdict, compare_reviewers
from pantheon.core.causes import cause_pattern, say_night
from pantheon.core.figures import wilson
from pantheon.report.diffs import colour_diff, read_diff
from pantheon.report.reading import parse, parse_lines, text


@given(st.integers(0, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share(pair):
    """0 <= low <= share <= high <= 1 for every count."""
    rate = wilson(*pair)
    assert 0 <= rate.low <= rate.high <= 1
    if rate.share is not None:
        assert rate.low - 1e-12 <= rate.share <= rate.high + 1e-12


@given(
    st.integers(0, 50), st.lists(st.sampled_from(["failed", "not reached", "denied at checks"]), max_size=50)
)
def test_the_sentence_adds_up(accepted, failures):
    """The numbers after the first clause sum to the tasks that were not accepted."""
    said = say_night(failures, accepted, closed=True, attempts=1)
    _, _, rest = said.partition(";")
    assert sum(map(int, re.findall(r"\d+", rest))) == len(failures)
    assert said.endswith(".")


@given(st.text())
def test_a_pattern_is_its_own_pattern(cause):
    """Grouping is stable: a pattern is bounded and one line."""
    assert len(cause_pattern(cause)) <= 201 or not cause.strip()
    assert "\n" not in cause_pattern(cause)


@given(
    st.lists(
        st.tuples(st.sampled_from("pq"), st.sampled_from("abc"), st.sampled_from(["pass", "fail"])),
        max_size=40,
    )
)
def test_a_matrix_counts_every_common_task_once(said):
    """The four cells sum to the tasks that both judged."""
    verdicts = [Verdict(task=t, reviewer=r, version="1", verdict=v, margin=None) for t, r, v in said]
    for pair in compare_reviewers(verdicts):
        judged = [{t for t, r, _ in said if r == name} for name in (pair.first, pair.second)]
        total = pair.both_pass + pair.only_first + pair.only_second + pair.both_fail
        assert total == pair.agree.total == len(judged[0] & judged[1])
        assert len(pair.disputed) == pair.only_first + pair.only_second


@given(st.text(alphabet=st.characters(codec=None), max_size=400))
def test_any_text_is_a_diff_without_an_error(garbage):
    """Whatever is in ``diff.patch``, colouring loses no line and raises nothing."""
    lines = colour_diff(garbage)
    read_diff(garbage)
    shown = sum(line.text.count("\n") + 1 for line in lines)
    assert shown == len(garbage.split("\n")) - (1 if garbage.endswith("\n") or not garbage else 0)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_json_without_an_error(data):
    """A torn or hostile artifact becomes a problem in words."""
    value, problem = parse(data)
    assert problem or isinstance(value, dict)
    parse_lines(data, whole=True, limit=3)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=8))
def test_any_value_has_a_bounded_text(value):
    """Texts of the report are bounded and can be encoded."""
    shown = text(value, 50)
    shown.encode("utf-8")
