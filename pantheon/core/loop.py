"""The tool loop as a deterministic finite automaton: ``PROMPT -> {TOOL | FINAL}`` and back, until it ends.

``advance`` is total: for every state and event it returns the next state and the one command that the shell
must carry out. The shell reports what happened as the next event. Nothing here waits, reads or draws.

Invariants (property-tested):
- the loop ends, in exactly one ``LoopOutcome``, whatever the model says;
- it never starts more than ``max_steps`` steps, never goes on after ``max_failures + 1`` failures, and never
  asks for more output tokens than are left;
- an ended loop stays ended with the outcome it has.

Source: DESIGN.md, section 6.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from pantheon.core.model import Frozen


class Phase(StrEnum):
    """What the loop waits for."""

    PROMPT = "prompt"
    """The model's answer."""
    TOOL = "tool"
    """A tool's result."""
    FINAL = "final"
    """The verdict on the finalized output."""
    ENDED = "ended"


class LoopOutcome(StrEnum):
    """How a loop ended."""

    FINALIZED = "finalized"
    MAX_STEPS = "max_steps"
    MAX_FAILURES = "max_failures"
    TIMEOUT = "timeout"
    BUDGET = "budget"
    CANCELLED = "cancelled"
    SERVER_LOST = "server_lost"
    REFUSED = "refused"


class LoopLimits(Frozen):
    """Ceilings of one loop."""

    max_steps: int = Field(ge=1)
    max_failures: int = Field(ge=0)
    """Failures that are forgiven; one more ends the loop."""
    max_tokens: int = Field(ge=1)
    """Output tokens of all steps together."""
    step_tokens: int = Field(ge=1)
    """Output tokens of one step."""


class LoopState(Frozen):
    """Everything the automaton knows."""

    limits: LoopLimits
    phase: Phase = Phase.PROMPT
    steps: int = 0
    """Steps begun."""
    failures: int = 0
    tokens: int = 0
    """Output tokens spent."""
    outcome: LoopOutcome | None = None

    @property
    def last_step(self) -> bool:
        """Whether the step under way is the last one the limits allow."""
        return self.steps >= self.limits.max_steps


# --- events: what happened -------------------------------------------------------------------------------


class Began(Frozen):
    """The shell is ready for the first step."""


class CalledTool(Frozen):
    """The model answered with a valid tool call."""

    tool: str
    args: Mapping[str, Any]
    tokens: int = Field(ge=0)


class Finalized(Frozen):
    """The model answered with ``finalize`` and an output that fulfils the contract."""

    output: Mapping[str, Any]
    tokens: int = Field(ge=0)


class Answered(Frozen):
    """The model answered something that is neither; ``problem`` says what is wrong with it."""

    problem: str
    tokens: int = Field(ge=0)


class ToolReturned(Frozen):
    """The tool did its work."""


class ToolFailed(Frozen):
    """The tool refused or failed."""


class OutputTaken(Frozen):
    """The finalized output was applied and accepted."""


class OutputRefused(Frozen):
    """Applying the finalized output failed; the reason goes back to the model."""


class Stopped(Frozen):
    """Something outside the conversation ends the loop; it can never make it finalized."""

    outcome: Literal[
        LoopOutcome.TIMEOUT,
        LoopOutcome.BUDGET,
        LoopOutcome.CANCELLED,
        LoopOutcome.SERVER_LOST,
        LoopOutcome.REFUSED,
    ]


Event = (
    Began
    | CalledTool
    | Finalized
    | Answered
    | ToolReturned
    | ToolFailed
    | OutputTaken
    | OutputRefused
    | Stopped
)


# --- commands: what to do next ----------------------------------------------------------------------------


class AskModel(Frozen):
    """Begin a step: ask the model."""

    max_tokens: int = Field(ge=1)
    finalize_only: bool
    """Offer no tools, because no step is left to use a result in."""


class RunTool(Frozen):
    """Call a tool."""

    tool: str
    args: Mapping[str, Any]


class TakeOutput(Frozen):
    """Apply and check the finalized output."""

    output: Mapping[str, Any]


class End(Frozen):
    """Stop; the outcome is in the state."""

    outcome: LoopOutcome


Command = AskModel | RunTool | TakeOutput | End


def advance(state: LoopState, event: Event) -> tuple[LoopState, Command]:
    """Return the next state and what to do.

    An event that does not belong to the phase (our own bug, never the model's doing) ends the loop as
    ``refused``, so that the automaton is total.
    """
    if state.outcome is not None:
        return state, End(outcome=state.outcome)
    if isinstance(event, Stopped):
        return _end(state, event.outcome)
    match state.phase, event:
        case Phase.PROMPT, Began() if state.steps == 0:
            return _ask(state)
        case Phase.PROMPT, CalledTool() if state.steps:
            spent = _spend(state, event.tokens, Phase.TOOL)
            return spent, RunTool(tool=event.tool, args=event.args)
        case Phase.PROMPT, Finalized() if state.steps:
            spent = _spend(state, event.tokens, Phase.FINAL)
            return spent, TakeOutput(output=event.output)
        case Phase.PROMPT, Answered() if state.steps:
            return _fail(_spend(state, event.tokens, Phase.PROMPT))
        case Phase.TOOL, ToolReturned():
            return _ask(state)
        case (Phase.TOOL, ToolFailed()) | (Phase.FINAL, OutputRefused()):
            return _fail(state)
        case Phase.FINAL, OutputTaken():
            return _end(state, LoopOutcome.FINALIZED)
        case _:
            return _end(state, LoopOutcome.REFUSED)


def _ask(state: LoopState) -> tuple[LoopState, Command]:
    left = state.limits.max_tokens - state.tokens
    if state.steps >= state.limits.max_steps:
        return _end(state, LoopOutcome.MAX_STEPS)
    if left <= 0:
        return _end(state, LoopOutcome.BUDGET)
    begun = state.model_copy(update={"phase": Phase.PROMPT, "steps": state.steps + 1})
    return begun, AskModel(max_tokens=min(left, state.limits.step_tokens), finalize_only=begun.last_step)


def _fail(state: LoopState) -> tuple[LoopState, Command]:
    failed = state.model_copy(update={"failures": state.failures + 1})
    if failed.failures > state.limits.max_failures:
        return _end(failed, LoopOutcome.MAX_FAILURES)
    return _ask(failed)


def _spend(state: LoopState, tokens: int, phase: Phase) -> LoopState:
    return state.model_copy(update={"tokens": state.tokens + tokens, "phase": phase})


def _end(state: LoopState, outcome: LoopOutcome) -> tuple[LoopState, Command]:
    return state.model_copy(update={"phase": Phase.ENDED, "outcome": outcome}), End(outcome=outcome)
