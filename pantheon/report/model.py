"""The report as data: what ``report.json`` holds and ``report.html`` shows.

Invariants:
- every text has passed ``core.visible``;
- every ``Excerpt`` is bounded and says how much there is; its text stays out of the JSON, its place does not.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field

from pantheon.core.agreement import Agreement, ReviewerRate
from pantheon.core.canaries import CanaryRate
from pantheon.core.checkpoint import Checkpoint
from pantheon.core.figures import AgentRate, AttemptFacts, ModelUse, NodeTiming, ToolErrors
from pantheon.core.model import Frozen
from pantheon.core.sandbox import SandboxKind

FORMAT = "pantheon.report/1"


class Excerpt(Frozen):
    """A bounded part of one artifact."""

    text: str = Field(exclude=True, repr=False)
    artifact: str
    """Path below the artifacts root."""
    size_bytes: int
    """Size of the whole artifact."""
    left_out_bytes: int = 0
    tail: bool = False
    """The end of the artifact instead of its beginning."""


class DiffLine(Frozen):
    """Consecutive lines of a diff of one sort."""

    kind: Literal["add", "del", "hunk", "meta", "same"]
    text: str


class DiffShown(Frozen):
    """One diff."""

    excerpt: Excerpt
    lines: tuple[DiffLine, ...] = Field(exclude=True, repr=False)
    paths: tuple[tuple[str, str], ...]
    """(old path, new path) of each file; equal when it kept its name, empty where there is none."""
    added: int
    removed: int
    exact: bool
    """Whether the whole diff was counted; otherwise the figures are the least there is."""


class Change(Frozen):
    """One accepted change."""

    task: str
    id: str
    title: str
    commit: str
    undone: str = ""
    """The commit that took it back since, and why; empty where none did."""
    diff: DiffShown | None = None


class Landed(Frozen):
    """The accepted changes of one package."""

    package: str
    changes: tuple[Change, ...]


class CauseGroup(Frozen):
    """Tasks that were not accepted for the same reason."""

    outcome: str
    cause: str
    """The common pattern: quoted texts and numbers are left out."""
    tasks: tuple[tuple[str, str, str], ...]
    """(task key, label, full cause)."""


class Need(Frozen):
    """One thing a person should look at."""

    urgency: Literal["now", "today", "later"]
    title: str
    why: str
    commands: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    """Keys of the tasks concerned."""


class ToolCall(Frozen):
    """One tool call as its attempt recorded it."""

    step: int
    tool: str
    args: str
    ok: bool
    answer: str
    """Result, or error code and message."""
    elapsed_ms: int


class ModelCall(Frozen):
    """One model call as its attempt recorded it."""

    call: int
    purpose: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    total_s: float
    reply: str = Field(exclude=True, repr=False)
    """The answer or the error."""
    failed: bool


class ReviewedQuestion(Frozen):
    """One comparison a reviewer made."""

    id: str
    proposal: str
    decoy: str
    margins: tuple[float | None, float | None]
    margin: float | None
    label_mass: float | None
    fits: bool | None
    floor: float | None = None
    """The least margin that counted, before calibration; None where the review does not say."""


class ReviewShown(Frozen):
    """One review."""

    reviewer: str
    version: str
    verdict: str
    margin: float | None
    strength: float | None = None
    """How far the weakest comparison lay above its floor."""
    confident: float | None = None
    """The calibrated strength that a pass needed; None where the review does not say."""
    reasons: tuple[str, ...]
    base: str
    head: str
    questions: tuple[ReviewedQuestion, ...]
    questions_left_out: int = 0
    shown: str = ""
    """How much of the note the reviewer was shown; empty where that was all."""


class AttemptShown(Frozen):
    """One attempt with its evidence."""

    facts: AttemptFacts
    ended: str
    """How an agent's loop ended; empty for other nodes."""
    cause: str
    folder: str
    """Relative to the artifacts root."""
    link: str
    """Relative to the report; empty when the folder lies outside the night's."""
    output_commit: str
    files: tuple[str, ...]
    """Artifacts that are there."""
    problems: tuple[str, ...]
    """What is missing, torn or unreadable."""
    signed: bool
    """Whether an attestation is there; it is not verified here."""
    output: Excerpt | None = None
    prompt: Excerpt | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_calls_left_out: str = ""
    model_calls: tuple[ModelCall, ...] = ()
    model_calls_left_out: str = ""
    review: ReviewShown | None = None
    stdout: Excerpt | None = None
    stderr: Excerpt | None = None
    diff: DiffShown | None = None
    conflict: Excerpt | None = None
    """Of a merge that could not be made: what was wanted, and what stands there now."""


class NodeShown(Frozen):
    """One node of a task."""

    node: str
    state: str
    cause: str
    attempts: tuple[AttemptShown, ...]


class TaskShown(Frozen):
    """One task with all that is known about it."""

    key: str
    id: str
    label: str
    """What people call it: its id, or its target's file name where the id is only a digest."""
    anchor: str
    """Id of its section in the HTML."""
    package: str
    goal: str
    targets: tuple[str, ...]
    outcome: str
    """A task outcome, or ``open``."""
    cause: str
    nodes: tuple[NodeShown, ...]
    problems: int
    """Number of evidence problems over all attempts."""


class NightFacts(Frozen):
    """The night itself."""

    id: str
    state: str
    branch: str
    base_commit: str
    started_at: datetime
    closed_at: datetime | None
    wall_s: float | None
    attempts: int
    tasks: int
    idle_server_s: float = 0.0
    """Seconds in which the night had no model server."""
    outages: int = 0
    """How often its model server was lost."""
    checkpoint: Checkpoint | None = None
    """The last signed checkpoint of the night's ledger, as it stands in the folder; it is not verified here."""
    sandbox: SandboxKind | None = None
    """What code of the repository ran in, as the night attested; None for a night that attested nothing yet."""


class EndpointShown(Frozen):
    """What one endpoint of the night's pool did."""

    endpoint: str
    answered: int
    """Calls that it answered."""
    broken: int
    """Calls that it broke; another endpoint was asked for them, where there was one."""
    state: str
    """What became of it last; empty where nothing did."""


class InFlightShown(Frozen):
    """A change of how many requests the night kept in flight."""

    after_s: float
    """Since the night's start."""
    limit: int
    why: str
    per_s: float
    """Tokens a second before it, those of prompts as ``core.concurrency`` weighs them; 0 where none were measured."""


class Report(Frozen):
    """The whole morning report."""

    format: str = FORMAT
    night: NightFacts
    sentence: str
    """The night in one honest sentence."""
    outcomes: dict[str, int]
    """Outcome -> number of tasks; those without one are under ``open``."""
    needs: tuple[Need, ...]
    """What needs a person, most urgent first."""
    landed: tuple[Landed, ...]
    not_accepted: tuple[CauseGroup, ...]
    timings: tuple[NodeTiming, ...]
    model_use: tuple[ModelUse, ...]
    agents: tuple[AgentRate, ...]
    tool_errors: ToolErrors
    reviewers: tuple[ReviewerRate, ...]
    agreement: tuple[Agreement, ...]
    canaries: tuple[CanaryRate, ...] = ()
    """What known-bad changes, planted among the reviews, say of each reviewer."""
    endpoints: tuple[EndpointShown, ...] = ()
    """What each endpoint did, where there were several."""
    in_flight: tuple[InFlightShown, ...] = ()
    """How many requests the night kept in flight, where it found that out itself; the last changes."""
    distrusted: tuple[str, ...] = ()
    """Keys of accepted tasks that rest on the word of a disqualified reviewer."""
    tasks: tuple[TaskShown, ...]
    problems: tuple[str, ...]
    """Evidence that is missing, torn or unreadable; the first ones, then a count."""
