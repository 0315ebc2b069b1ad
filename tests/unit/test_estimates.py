"""Durations learned from an earlier night: the median of what nodes of that name took, and a rule for the rest."""

from datetime import UTC, datetime, timedelta

from pantheon.core.dag import expected_seconds
from pantheon.core.estimates import SHORTEST_S, learn_durations
from pantheon.core.flow import FlowNode
from pantheon.core.records import AttemptOutcome, AttemptRecord, AttemptResult, NodeState

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def took(
    node: str, seconds: float | None, outcome: AttemptOutcome = AttemptOutcome.SUCCEEDED
) -> AttemptRecord:
    """An attempt that took so long; None runs still."""
    result = AttemptResult(outcome=outcome, node_state=NodeState.SUCCEEDED)
    return AttemptRecord(
        night="n",
        node=node,
        attempt=1,
        token=1,
        owner="me",
        started_at=BEGAN,
        ended_at=None if seconds is None else BEGAN + timedelta(seconds=seconds),
        result=None if seconds is None else result,
    )


def test_the_median_of_what_was_worked_counts() -> None:
    """Over all tasks; failed work counts, what was cut short does not."""
    expect = learn_durations(
        [
            took("b/1#draft", 3),
            took("b/2#draft", 5),
            took("b/3#draft", 90, AttemptOutcome.FAILED),
            took("b/4#draft", 500, AttemptOutcome.TIMED_OUT),
            took("b/5#draft", 0.1, AttemptOutcome.INTERRUPTED),
            took("b/6#draft", 0.1, AttemptOutcome.CANCELLED),
            took("b/7#draft", None),
        ]
    )
    assert expect(FlowNode(id="draft", agent="a")) == 5


def test_what_was_never_seen_is_guessed() -> None:
    """By the same rule as without an earlier night."""
    node = FlowNode(id="review", agent="a")
    assert learn_durations([took("b/1#draft", 3)])(node) == expected_seconds(node)
    assert learn_durations([])(node) == expected_seconds(node)


def test_a_clock_set_back_makes_no_negative_duration() -> None:
    """An order over negative times would be none."""
    assert learn_durations([took("b/1#draft", -3600)])(FlowNode(id="draft", agent="a")) == SHORTEST_S
