"""What the store holds: batches, nights, tasks, nodes, attempts, events."""

import math
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from pantheon.core.model import Frozen


class NodeState(StrEnum):
    """Where a node stands. The legal steps between states are in ``core.lifecycle``."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class AttemptOutcome(StrEnum):
    """How one attempt ended; the store has None while it runs."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    """Infrastructure broke, not the work."""
    INTERRUPTED = "interrupted"
    """The process died while it ran; found by recovery."""


class TaskOutcome(StrEnum):
    """What became of a task in a night."""

    ACCEPTED = "accepted"
    DENIED = "denied"
    """The gate said no."""
    FAILED = "failed"
    BLOCKED = "blocked"
    """A task that it needs was not accepted."""
    SKIPPED = "skipped"
    """There was nothing to do."""
    CANCELLED = "cancelled"
    NOT_REACHED = "not_reached"


class NightState(StrEnum):
    """A night is running until it is closed; a running night found at start is resumed."""

    RUNNING = "running"
    CLOSED = "closed"


class BatchRecord(Frozen):
    """One frozen file of the queue."""

    name: str
    """12 digits; unique (see ``core.batch.batch_name``)."""
    digest: str
    """SHA-256 of the frozen lines."""
    label: str = ""
    lines: int = Field(ge=0)
    enqueued_at: datetime
    path: str
    """File of the frozen lines, relative to the repository."""


class TaskRecord(Frozen):
    """One task of a batch and what became of it."""

    key: str
    """``<batch digest12>/<task id>``: unique in the store."""
    batch: str
    """Name of the batch."""
    line: str
    """The task's canonical line."""
    package: str = ""
    night: str | None = None
    """The night that took it."""
    outcome: TaskOutcome | None = None
    cause: str = ""
    """Why, in one line; stable enough to group by."""
    left_by: str | None = None
    """The closed night that has not reached it, while it waits for the next one; None otherwise."""


class NightRecord(Frozen):
    """One night."""

    id: str
    state: NightState = NightState.RUNNING
    base_commit: str
    branch: str
    started_at: datetime
    closed_at: datetime | None = None
    summary: dict[str, Any] = Field(default_factory=dict)


class NodeRecord(Frozen):
    """One node of one task in one night."""

    night: str
    key: str
    """``<task key>#<node id of the flow>``."""
    task: str
    node: str
    state: NodeState = NodeState.WAITING
    needs: tuple[str, ...] = ()
    """Keys of the nodes it waits for."""
    output_commit: str | None = None
    cause: str = ""


class Lease(Frozen):
    """The right to run one attempt of one node until ``expires_at``."""

    night: str
    node: str
    attempt: int = Field(ge=1)
    token: int = Field(ge=1)
    """Fencing token: rises on every claim in the store, never repeats."""
    owner: str
    expires_at: datetime


class AttemptResult(Frozen):
    """How an attempt ended; the payload of ``settle``."""

    outcome: AttemptOutcome
    node_state: NodeState
    """The state the node goes to: succeeded, failed, cancelled, skipped, or ready for another attempt."""
    cause: str = ""
    output_commit: str | None = None
    artifacts: str = ""
    """Folder of the attempt's artifacts, relative to the artifacts root."""
    metrics: dict[str, Any] = Field(default_factory=dict)


class Conclusion(Frozen):
    """What became of a task; the end of its last node makes it true."""

    task: str
    """Task key."""
    outcome: TaskOutcome
    cause: str = ""


class AttemptRecord(Frozen):
    """One attempt as the store holds it."""

    night: str
    node: str
    attempt: int
    token: int
    owner: str
    started_at: datetime
    ended_at: datetime | None = None
    result: AttemptResult | None = None


class EventRecord(Frozen):
    """One line of the store's history."""

    seq: int
    at: datetime
    night: str
    subject: str
    """Node key, task key, batch or night id."""
    name: str
    """``node.running``, ``task.accepted``, ``night.opened``."""
    details: dict[str, Any] = Field(default_factory=dict)


class Counts(Frozen):
    """How many of what there are, without reading any of it."""

    pending: int
    """Tasks that the next night may take."""
    batches: dict[str, int] = Field(default_factory=dict)
    """Batch -> its pending tasks, in queue order; batches without any are left out."""
    held: int
    """Tasks that no night has taken and an operator holds."""
    left: dict[str, int] = Field(default_factory=dict)
    """Closed night -> pending tasks that it has not reached; nights without any are left out."""
    open: int
    """Tasks that a night has taken and that have no outcome."""
    outcomes: dict[TaskOutcome, int] = Field(default_factory=dict)
    """Ended tasks; outcomes without a task are left out."""
    nodes: dict[NodeState, int] = Field(default_factory=dict)
    """Nodes; states without a node are left out."""
    running: tuple[Lease, ...] = ()
    """The attempts that run, in the order they were claimed."""


class AttemptFigures(Frozen):
    """The attempts of a night in numbers."""

    ended: int
    broken: int
    """Those that ended crashed or interrupted: the machine's doing."""
    p95_s: float | None
    """Seconds that 95 of 100 took at most; None when none has ended."""


def p95_place(count: int) -> int:
    """Return the place, from 0, of the smallest of ``count`` sorted values that 95 of 100 do not exceed."""
    return max(math.ceil(0.95 * count) - 1, 0)


def storable_text(text: str) -> str:
    """Return ``text`` as every store can hold it: what UTF-8 has no bytes for becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
