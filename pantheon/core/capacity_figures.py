"""What a capacity outlook is made of: what waits, what earlier nights measured, and what follows from both."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from pantheon.core.capacity import FittedCurve, QueueFigures
from pantheon.core.capacity_fit import CallCost, CallParts
from pantheon.core.capacity_scaling import Pace, Scaling
from pantheon.core.capacity_window import Part
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
    """Closed ones that measured anything."""
    barren_nights: int = 0
    """Closed ones in which nothing ended on its own account."""
    durations: Mapping[str, tuple[float, ...]] = {}
    """Work (an agent's name, else a node's id) -> seconds of its ended attempts."""
    paces: Mapping[str, tuple[Pace, ...]] = {}
    """Resource -> what its work took, by how many slots were in use."""
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
    """With every slot of its resource in use; without a known gain, as if further slots were worth nothing."""
    low_s: float | None
    high_s: float | None
    """Interval of the mean; None where it was not measured."""
    per_hour: float
    """``mu``: attempts per hour of one slot, by ``mean_s``."""
    stretch: float
    """``mean_s`` over what was measured, or is guessed, for the numbers at once of earlier nights."""
    measured_attempts: int
    accepted: Rate | None
    """Of the tasks that the agent worked on in earlier nights; None for what is no agent."""


class Gain(StrEnum):
    """How it is known what the slots of a resource are worth together."""

    MEASURED = "measured"
    """As many were in use in earlier nights."""
    FORECAST = "forecast"
    """By the curve through what was measured, beyond its ends."""
    UNKNOWN = "unknown"
    """No curve: the figures are those of slots that are worth nothing beyond those that were in use."""


class ResourceLoad(Frozen):
    """One resource over the window."""

    resource: str
    slots: int
    in_use: int
    """Slots that tonight's queue can use at once."""
    work_s: float
    """Slot seconds, with every slot in use."""
    hours: float
    """With as many slots as the queue can use."""
    hours_low: float
    """If every slot beyond those measured were worth a whole one."""
    hours_high: float
    """If every slot beyond those measured were worth nothing."""
    load_low: float
    load_high: float
    """Of ``queue.load``, in the same two cases."""
    queue: QueueFigures
    gain: Gain
    scaling: Scaling


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
    window: Part
    """What the hours are: of which window."""
    opens_at: datetime | None
    closes_at: datetime | None
    """Of that window; None where there is none."""
    window_h: float
    """Until its end, or what a night's budget allows of it."""
    starting_h: float
    """The hours of those in which work may start: the load is over these."""
    needed_h: float
    needed_low_h: float
    needed_high_h: float
    """In the two cases of ``ResourceLoad.hours_low`` and ``hours_high``; all three are one where that was measured."""
    nights_needed: int
    """Nights like these that the queue takes, tonight included; 0 for an empty one."""
    not_reached: int
    """Tasks of the queue, roughly, that tonight does not come to."""
    longest_path_h: float
    nights_measured: int
    barren_nights: int
    """Closed nights besides, in which nothing ended on its own account."""
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
