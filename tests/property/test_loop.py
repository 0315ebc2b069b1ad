"""The tool loop's laws: it always ends, in exactly one outcome, and never exceeds a limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pantheon.core.loop import (
    Answered,
    AskModel,
    Began,
    CalledTool,
    End,
    Event,
    Finalized,
    LoopLimits,
    LoopOutcome,
    LoopState,
    OutputRefused,
    OutputTaken,
    Phase,
    RunTool,
    Stopped,
    TakeOutput,
    ToolFailed,
    ToolReturned,
    advance,
)

limits = st.builds(
    LoopLimits,
    max_steps=st.integers(1, 8),
    max_failures=st.integers(0, 4),
    max_tokens=st.integers(1, 400),
    step_tokens=st.integers(1, 200),
)
FROM_OUTSIDE = (
    LoopOutcome.TIMEOUT,
    LoopOutcome.BUDGET,
    LoopOutcome.CANCELLED,
    LoopOutcome.SERVER_LOST,
    LoopOutcome.REFUSED,
)
tokens = st.integers(0, 200)
any_event = st.one_of(
    st.just(Began()),
    st.builds(CalledTool, tool=st.just("t"), args=st.just({}), tokens=tokens),
    st.builds(Finalized, output=st.just({}), tokens=tokens),
    st.builds(Answered, problem=st.just("p"), tokens=tokens),
    st.sampled_from([ToolReturned(), ToolFailed(), OutputTaken(), OutputRefused()]),
    st.builds(Stopped, outcome=st.sampled_from(FROM_OUTSIDE)),
)


def obedient(command: AskModel | RunTool | TakeOutput, choice: int) -> Event:
    """What a shell reports that carries out its command, as the model and the tools choose."""
    if isinstance(command, AskModel):
        spent = min(choice, command.max_tokens)
        answers: list[Event] = [
            CalledTool(tool="t", args={}, tokens=spent),
            Finalized(output={}, tokens=spent),
            Answered(problem="p", tokens=spent),
        ]
        return answers[choice % 3]
    if isinstance(command, RunTool):
        return ToolReturned() if choice % 2 else ToolFailed()
    return OutputTaken() if choice % 5 == 0 else OutputRefused()


@given(limits, st.lists(st.integers(0, 500), min_size=60, max_size=60))
def test_an_obeyed_loop_ends_inside_its_limits(ceilings: LoopLimits, choices: list[int]) -> None:
    """Whatever the model says, the loop ends, and each ceiling holds at every step."""
    state, command = advance(LoopState(limits=ceilings), Began())
    asked = 0
    for choice in choices:
        if isinstance(command, End):
            break
        if isinstance(command, AskModel):
            asked += 1
            assert asked == state.steps <= ceilings.max_steps
            assert command.max_tokens <= ceilings.step_tokens
            assert state.tokens + command.max_tokens <= ceilings.max_tokens
            assert command.finalize_only == (asked == ceilings.max_steps)
        state, command = advance(state, obedient(command, choice))
        assert state.tokens <= ceilings.max_tokens
        assert state.failures <= ceilings.max_failures + 1
    assert isinstance(command, End)
    assert state.phase is Phase.ENDED
    assert state.outcome is command.outcome
    if state.failures > ceilings.max_failures:
        assert state.outcome is LoopOutcome.MAX_FAILURES


@given(limits, st.lists(any_event, max_size=40))
def test_any_sequence_of_events_is_answered(ceilings: LoopLimits, events: list[Event]) -> None:
    """The automaton is total: no event raises, and an ended loop keeps its outcome for ever."""
    state = LoopState(limits=ceilings)
    outcome: LoopOutcome | None = None
    for event in events:
        state, command = advance(state, event)
        assert (state.outcome is not None) == isinstance(command, End)
        if outcome is not None:
            assert state.outcome is outcome
        outcome = state.outcome
        assert state.steps <= ceilings.max_steps


@given(limits, st.sampled_from(FROM_OUTSIDE), st.integers(0, 5))
def test_stopping_ends_at_once_wherever_it_comes(
    ceilings: LoopLimits, outcome: LoopOutcome, after: int
) -> None:
    """Cancellation, time-out and a lost server end the loop in any phase with their own outcome."""
    state, command = advance(LoopState(limits=ceilings), Began())
    for choice in range(after):
        if isinstance(command, End):
            return
        state, command = advance(state, obedient(command, choice))
    if not isinstance(command, End):
        state, command = advance(state, Stopped(outcome=outcome))  # type: ignore[arg-type]
        assert command == End(outcome=outcome)


def test_an_event_out_of_phase_refuses() -> None:
    """What does not belong to the phase ends the loop as refused instead of being guessed at."""
    state = LoopState(limits=LoopLimits(max_steps=3, max_failures=1, max_tokens=100, step_tokens=50))
    state, _ = advance(state, Began())
    _, command = advance(state, ToolReturned())
    assert command == End(outcome=LoopOutcome.REFUSED)


@given(limits, st.lists(any_event, max_size=40))
def test_only_an_accepted_output_finalizes(ceilings: LoopLimits, events: list[Event]) -> None:
    """No sequence of events ends as finalized but one in which a finalized output was taken in the last place."""
    state, trail = LoopState(limits=ceilings), list[Event]()
    for event in events:
        trail.append(event)
        state, _ = advance(state, event)
        if state.outcome is not None:
            break
    if state.outcome is LoopOutcome.FINALIZED:
        assert isinstance(trail[-1], OutputTaken)
        assert isinstance(trail[-2], Finalized)


@given(limits, st.lists(any_event, max_size=60))
def test_ceilings_hold_for_a_shell_that_obeys_nothing(ceilings: LoopLimits, events: list[Event]) -> None:
    """Steps, failures and the size of each request stay bounded even where servers spend more than was asked."""
    state, asked, failures, spent = LoopState(limits=ceilings), 0, 0, 0
    for event in events:
        open_before = state.outcome is None
        state, command = advance(state, event)
        if open_before and isinstance(event, CalledTool | Finalized | Answered):
            spent += event.tokens
        if open_before and isinstance(event, Answered | ToolFailed | OutputRefused):
            failures += 1
        if isinstance(command, AskModel):
            asked += 1
            assert failures <= ceilings.max_failures
            assert spent + command.max_tokens <= ceilings.max_tokens
            assert command.finalize_only == (asked == ceilings.max_steps)
    assert asked <= ceilings.max_steps


@pytest.mark.parametrize("outcome", [LoopOutcome.FINALIZED, LoopOutcome.MAX_STEPS, LoopOutcome.MAX_FAILURES])
def test_what_the_loop_decides_itself_cannot_come_from_outside(outcome: LoopOutcome) -> None:
    """A stop cannot claim that the work was finalized, nor that a ceiling was counted to."""
    with pytest.raises(ValidationError):
        Stopped(outcome=outcome)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ceilings", "events", "outcome"),
    [
        ((9, 0, 99), [Answered(problem="p", tokens=1)], LoopOutcome.MAX_FAILURES),
        ((9, 1, 99), [Answered(problem="p", tokens=1)] * 2, LoopOutcome.MAX_FAILURES),
        ((1, 9, 99), [CalledTool(tool="t", args={}, tokens=1), ToolReturned()], LoopOutcome.MAX_STEPS),
        ((9, 9, 10), [Answered(problem="p", tokens=10)], LoopOutcome.BUDGET),
        ((1, 0, 10), [Finalized(output={}, tokens=10), OutputTaken()], LoopOutcome.FINALIZED),
        ((9, 0, 99), [Finalized(output={}, tokens=1), OutputRefused()], LoopOutcome.MAX_FAILURES),
        ((9, 9, 99), [OutputTaken()], LoopOutcome.REFUSED),
        ((9, 9, 99), [Began()], LoopOutcome.REFUSED),
    ],
)
def test_each_ending_has_its_cause(
    ceilings: tuple[int, int, int], events: list[Event], outcome: LoopOutcome
) -> None:
    """The ceiling that was reached names the outcome."""
    steps, failures, spend = ceilings
    state = LoopState(
        limits=LoopLimits(max_steps=steps, max_failures=failures, max_tokens=spend, step_tokens=50)
    )
    for event in [Began(), *events]:
        state, command = advance(state, event)
    assert command == End(outcome=outcome)
