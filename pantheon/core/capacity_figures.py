"""What a capacity outlook is made of: what waits, what earlier nights measured, and what follows from both."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from pantheon.core.capacity import FittedCurve, QueueFigures
from pantheon.core.capacity_fit import CallCost, CallParts
from pantheon.core.figures import Rate
from pantheon.core.flow import Flow
from pantheon.core.model import Frozen

TARGET_LOAD = (0.7, 0.8)
"""Where the load is wanted (DESIGN.md, section 11)."""


class Basis(StrEnum):
    """Where a duration comes from."""

    MEASURED = "measured"
    EXPECTED = "expected"
    """``expected_s`` of the flow: its author's experience."""
    GUESSED = "guessed"


class Waiting(NamedTuple):
    """A task that waits for a night."""

    key: str
    flow: Flow
    needs: tuple[str, ...] = ()
    """Keys of tasks; those that do not wait are done or will not come."""


class NightResult(NamedTuple):
    """What one earlier night came to."""

    judged: int
    """Tasks that ended on their own account."""
    accepted: int


class Experience(Frozen):
    """What earlier nights measured."""

    nights: int = 0
    durations: Mapping[str, tuple[float, ...]] = {}
    """Work (an agent's name, else a node's id) -> seconds of its ended attempts."""
    tasks: Mapping[str, tuple[int, int]] = {}
    """Agent -> (accepted, judged) of the tasks that it worked on."""
    results: tuple[NightResult, ...] = ()
    """Of each night, oldest first."""
    costs: tuple[CallCost, ...] = ()
    mean_prompt_tokens: float = 0.0
    """Of a call, cached ones included."""
    mean_completion_tokens: float = 0.0


class WorkRate(Frozen):
    """One kind of work in tonight's queue."""

    work: str
    resource: str
    """Most contended resource it holds; empty for none."""
    nodes: int
    basis: Basis
    mean_s: float
    low_s: float | None
    high_s: float | None
    """Interval of the mean; None where it was not measured."""
    per_hour: float
    """``mu``: attempts per hour of one slot."""
    measured_attempts: int
    accepted: Rate | None
    """Of the tasks that the agent worked on in earlier nights; None for what is no agent."""


class ResourceLoad(Frozen):
    """One resource over the window."""

    resource: str
    slots: int
    work_s: float
    hours: float
    queue: QueueFigures


class BatchedCall(Frozen):
    """A call among ``batch`` that share its prefix."""

    batch: int
    seconds: float
    saved: float
    """Share of a lone call's duration."""


class Outlook(Frozen):
    """Everything that ``pantheon capacity`` tells."""

    sentence: str
    tasks: int
    nodes: int
    window_h: float
    needed_h: float
    longest_path_h: float
    nights_measured: int
    guessed: bool
    """Whether anything but measurements went into the hours."""
    resources: tuple[ResourceLoad, ...]
    """Highest load first."""
    work: tuple[WorkRate, ...]
    accepted: float | None
    """Expected tonight; None where no task was ever judged."""
    accepted_low: float | None
    accepted_high: float | None
    pass_rate: Rate
    """Of all judged tasks of earlier nights."""
    learning: FittedCurve | None
    learned: int
    """Accepted changes so far: the examples of the curve."""
    next_pass_rate: float | None
    """By the curve, for tonight."""
    call: CallParts | None
    batching: tuple[BatchedCall, ...]
