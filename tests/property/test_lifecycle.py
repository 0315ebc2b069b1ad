"""The lifecycle tables keep their laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core import lifecycle
from pantheon.core.errors import TransitionError
from pantheon.core.records import NodeState, TaskOutcome

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
        assert lifecycle.requeue_node(state, needs_met=True) is NodeState.READY
        assert lifecycle.requeue_node(state, needs_met=False) is NodeState.WAITING
    else:
        with pytest.raises(TransitionError):
            lifecycle.requeue_node(state, needs_met=True)


def test_the_named_sets_say_what_the_table_says() -> None:
    """No set drifts from the table, and no state is left out."""
    assert set(lifecycle.NODE_STEPS) == set(NodeState)
    assert set(NodeState) == lifecycle.TERMINAL | lifecycle.OPEN
    assert lifecycle.TERMINAL - {NodeState.SUCCEEDED} == lifecycle.REQUEUEABLE
    assert lifecycle.sources(NodeState.RUNNING) == lifecycle.INITIAL == lifecycle.CLAIMABLE
    without_attempt = lifecycle.TERMINAL & lifecycle.NODE_STEPS[NodeState.WAITING]
    assert without_attempt == lifecycle.ENDS_WITHOUT_ATTEMPT


@given(st.sampled_from(TaskOutcome) | st.none())
def test_only_what_did_not_succeed_is_requeued(outcome: TaskOutcome | None) -> None:
    """A task under way, one that was accepted and one that had nothing to do are refused."""
    if outcome in (None, TaskOutcome.ACCEPTED, TaskOutcome.SKIPPED):
        with pytest.raises(TransitionError):
            lifecycle.require_unsuccessful("b/one", outcome)
    else:
        lifecycle.require_unsuccessful("b/one", outcome)


@given(st.integers(1, 4), st.lists(st.integers(0, 30), max_size=60), st.booleans())
def test_every_life_of_a_node_ends(limit: int, choices: list[int], asks_again: bool) -> None:
    """Claims, further attempts, interruptions and one requeue, in any order: the path ends within a known length."""
    state, attempts, requeued, length = NodeState.WAITING, 0, False, 0
    draw = iter(choices)
    while state not in lifecycle.TERMINAL or (asks_again and not requeued):
        if state in lifecycle.TERMINAL:
            requeued = True
            if state not in lifecycle.REQUEUEABLE:
                break
            state, attempts = lifecycle.requeue_node(state, needs_met=False), 0
        steps = sorted(lifecycle.NODE_STEPS[state])
        if state is NodeState.RUNNING:
            attempts += 1
            steps = [step for step in steps if attempts < limit or step in lifecycle.TERMINAL]
        assert steps, f"{state} has no way to end"
        state = lifecycle.advance(state, steps[next(draw, 0) % len(steps)])
        length += 1
        assert length <= 2 * (2 * limit + 2)
    assert state in lifecycle.TERMINAL


@pytest.mark.parametrize("state", sorted(lifecycle.OPEN))
def test_every_open_state_leads_to_every_terminal_one(state: NodeState) -> None:
    """From wherever a night is left, each way to end is still there."""
    reached, edge = {state}, [state]
    while edge:
        for after in lifecycle.NODE_STEPS[edge.pop()] - reached:
            reached.add(after)
            edge.append(after)
    assert reached >= lifecycle.TERMINAL


def test_a_table_without_an_end_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that only leads back to another open one makes the law of endings fail."""
    broken = {**lifecycle.NODE_STEPS, NodeState.RUNNING: frozenset({NodeState.READY})}
    monkeypatch.setattr(lifecycle, "NODE_STEPS", broken)
    with pytest.raises(AssertionError, match="no way to end"):
        test_every_life_of_a_node_ends.hypothesis.inner_test(2, [1] * 60, asks_again=False)
