"""The lifecycle tables keep their laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core import lifecycle
from pantheon.core.errors import TransitionError
from pantheon.core.records import NightState, NodeState, TaskOutcome

STATES = st.sampled_from(NodeState)


@given(STATES, STATES)
def test_only_the_table_moves_a_node(state: NodeState, to: NodeState) -> None:
    """A step is taken when the table holds it and refused when it does not."""
    if to in lifecycle.NODE_STEPS[state]:
        assert lifecycle.advance(state, to) is to
        assert state in lifecycle.sources(to)
    else:
        with pytest.raises(TransitionError, match=str(to)):
            lifecycle.advance(state, to)
        assert state not in lifecycle.sources(to)


@given(STATES, st.integers(min_value=1, max_value=5), st.data())
def test_every_path_ends(state: NodeState, limit: int, data: st.DataObject) -> None:
    """Whatever steps are taken, a node with a limit on attempts ends in a terminal state."""
    attempts = 0
    for _ in range(2 * limit + 3):
        if state in lifecycle.TERMINAL:
            break
        steps = lifecycle.NODE_STEPS[state]
        if state is NodeState.RUNNING:
            attempts += 1
            if attempts == limit:
                steps = steps & lifecycle.TERMINAL
        state = lifecycle.advance(state, data.draw(st.sampled_from(sorted(steps))))
    assert state in lifecycle.TERMINAL


@given(STATES, STATES)
def test_a_terminal_state_has_no_way_out(state: NodeState, to: NodeState) -> None:
    """Only an explicit requeue leaves a terminal state, and never success."""
    if state in lifecycle.TERMINAL:
        with pytest.raises(TransitionError):
            lifecycle.advance(state, to)
    if state in lifecycle.REQUEUEABLE:
        assert lifecycle.requeue_node(state) is NodeState.READY
    else:
        with pytest.raises(TransitionError):
            lifecycle.requeue_node(state)


def test_the_named_sets_say_what_the_table_says() -> None:
    """No set drifts from the table, and no state is left out."""
    assert set(lifecycle.NODE_STEPS) == set(NodeState)
    assert set(NodeState) == lifecycle.TERMINAL | lifecycle.OPEN
    assert lifecycle.TERMINAL - {NodeState.SUCCEEDED} == lifecycle.REQUEUEABLE
    assert lifecycle.sources(NodeState.RUNNING) == lifecycle.INITIAL
    without_attempt = lifecycle.TERMINAL & lifecycle.NODE_STEPS[NodeState.WAITING]
    assert without_attempt == lifecycle.ENDS_WITHOUT_ATTEMPT
    assert set(lifecycle.NIGHT_STEPS) == set(NightState)


def test_a_night_closes_once() -> None:
    """A night goes from running to closed and nowhere else."""
    assert lifecycle.advance_night(NightState.RUNNING, NightState.CLOSED) is NightState.CLOSED
    for state, to in (
        (NightState.CLOSED, NightState.RUNNING),
        (NightState.CLOSED, NightState.CLOSED),
        (NightState.RUNNING, NightState.RUNNING),
    ):
        with pytest.raises(TransitionError):
            lifecycle.advance_night(state, to)


@given(st.lists(st.sampled_from(TaskOutcome), min_size=1))
def test_the_first_outcome_stays(outcomes: list[TaskOutcome]) -> None:
    """However often a task is concluded, it keeps the first outcome."""
    known: TaskOutcome | None = None
    for outcome in outcomes:
        known = lifecycle.conclude_once(known, outcome)
    assert known is outcomes[0]
