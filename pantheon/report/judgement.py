"""One task's judgement: what the checks, the reviewers, the gate and the merge said of its change.

Invariants:
- only the last word of each node counts, as it does for the gate;
- what an agent left is never taken for a check's, a gate's or a merge's word;
- every text has passed ``core.visible``; nothing here decides anything.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from pantheon.core.model import Frozen
from pantheon.core.overview import TaskStory
from pantheon.core.places import find_places
from pantheon.core.records import AttemptRecord, NodeState
from pantheon.core.taken_back import TakenBack
from pantheon.core.visible import visible
from pantheon.ports.evidence import EvidenceReader
from pantheon.report.evidence import read_attempt
from pantheon.report.limits import Limits
from pantheon.report.model import AttemptShown, DiffShown, ReviewShown
from pantheon.report.reading import items, mapping, text

LIMITS = Limits(diff_bytes=400_000)


class CheckShown(Frozen):
    """One deterministic check."""

    node: str
    """The node that ran it."""
    name: str
    passed: bool
    reason: str = ""


class QuestionShown(Frozen):
    """One comparison of a reviewer."""

    id: str
    proposal: str
    decoy: str
    margins: tuple[float | None, float | None]
    """With the proposal as A, and as B; nats."""
    margin: float | None
    floor: float | None
    """The least margin that counted, before calibration: as the review says, else as the reviewer of this version
    does; None where neither is here any more."""
    label_mass: float | None
    fits: bool | None
    places: tuple[str, ...]
    """``path:line`` of the proposal in the newer commit."""


class VerdictShown(Frozen):
    """What one reviewer said."""

    reviewer: str
    version: str
    verdict: str
    margin: float | None
    strength: float | None
    """How far the weakest comparison lay above its floor."""
    confident: float | None
    """The calibrated strength that a pass needed."""
    reasons: tuple[str, ...]
    label_mass_floor: float | None
    base: str
    head: str
    questions: tuple[QuestionShown, ...]
    questions_left_out: int
    shown: str
    """How much of the note the reviewer was shown; empty where that was all."""
    folder: str
    """Of its evidence, below the artifacts."""


class ChangeShown(Frozen):
    """The change that was judged."""

    base: str
    head: str
    tree: str
    merged: str = ""
    """The tree that would land, where it is not the head's own."""


class DecisionShown(Frozen):
    """What the gate decided."""

    decision: str
    explanation: str
    reasons: tuple[str, ...]


class MissingNode(Frozen):
    """A node that has not succeeded."""

    node: str
    state: str
    cause: str


class Judgement(Frozen):
    """All that was said of one task's change."""

    task: str
    night: str | None
    outcome: str
    """A task outcome, or ``open``."""
    cause: str
    change: ChangeShown | None
    """As the gate, else the checks, were given it; None where neither has looked at one."""
    checks: tuple[CheckShown, ...]
    reviews: tuple[VerdictShown, ...]
    decision: DecisionShown | None
    landed: str
    """The commit on the night's branch; empty where nothing landed."""
    taken_back: TakenBack | None
    """How it was taken back after it had landed."""
    missing: tuple[MissingNode, ...]
    diff: DiffShown | None = Field(default=None, exclude=True)
    diff_from: str = ""
    """The artifact that the diff was read from."""
    problems: tuple[str, ...]
    """Evidence that is missing, torn or unreadable."""


class Floors(Frozen):
    """What one version of a reviewer demands of itself."""

    version: str
    questions: Mapping[str, float]
    """Question -> least margin, in nats."""
    label_mass: float


async def read_judgement(
    story: TaskStory, evidence: EvidenceReader, floors: Mapping[str, Floors]
) -> Judgement:
    """Return what was said of a task's change, from the store and what the attempts left.

    Args:
        story: the task as the store has it.
        evidence: what the attempts left.
        floors: reviewer -> what it demands, as the repository has it now.
    """
    nodes = {node.key: node for node in story.nodes}
    last = {one.node: one for one in story.attempts}
    shown = {
        key: await read_attempt(evidence, one, nodes.get(key), story.task.key, LIMITS)
        for key, one in last.items()
    }
    outputs = {key: _output(one) for key, one in last.items() if not shown[key].facts.agent}
    decided = next((one for one in outputs.values() if "decision" in one), None)
    diffs = [one.diff for one in shown.values() if one.diff is not None]
    under_review = next((shown[key].diff for key, one in outputs.items() if "checks" in one), None)
    diff = under_review or (diffs[-1] if diffs else None)
    return Judgement(
        task=visible(story.task.key),
        night=story.night,
        outcome=story.task.outcome or "open",
        cause=text(story.task.cause),
        change=_change(decided, outputs.values()),
        checks=tuple(check for key, one in outputs.items() for check in _checks(shown[key].facts.node, one)),
        reviews=tuple(
            _verdict(one.review, one, floors.get(one.review.reviewer), diff)
            for one in shown.values()
            if one.review is not None
        ),
        decision=None if decided is None else _decision(decided),
        landed=next((text(one["commit"], 64) for one in outputs.values() if "commit" in one), ""),
        taken_back=story.taken_back,
        missing=tuple(
            MissingNode(node=visible(node.node), state=node.state.value, cause=text(node.cause))
            for node in story.nodes
            if node.state is not NodeState.SUCCEEDED
        ),
        diff=diff,
        diff_from="" if diff is None else diff.excerpt.artifact,
        problems=tuple(f"{one.folder}: {why}" for one in shown.values() for why in one.problems),
    )


def _output(attempt: AttemptRecord) -> Mapping[str, Any]:
    return mapping(attempt.result.metrics.get("output")) if attempt.result is not None else {}


def _change(decided: Mapping[str, Any] | None, outputs: Iterable[Mapping[str, Any]]) -> ChangeShown | None:
    said = mapping((decided or {}).get("change")) or next((one for one in outputs if "checks" in one), {})
    names = [text(said.get(name), 64) for name in ("base", "head", "tree")]
    merged = text(said.get("merged"), 64)
    return ChangeShown(base=names[0], head=names[1], tree=names[2], merged=merged) if all(names) else None


def _checks(node: str, output: Mapping[str, Any]) -> tuple[CheckShown, ...]:
    found = [mapping(one) for one in items(output.get("checks"))]
    return tuple(
        CheckShown(
            node=node,
            name=text(one.get("name"), 60),
            passed=one.get("passed") is True,
            reason=text(one.get("reason")),
        )
        for one in found
    )


def _decision(output: Mapping[str, Any]) -> DecisionShown:
    return DecisionShown(
        decision=text(output.get("decision"), 20),
        explanation=text(output.get("explanation")),
        reasons=tuple(text(one) for one in items(output.get("reasons"))),
    )


def _verdict(
    review: ReviewShown, attempt: AttemptShown, floors: Floors | None, diff: DiffShown | None
) -> VerdictShown:
    known = floors if floors is not None and floors.version == review.version else None
    return VerdictShown(
        reviewer=review.reviewer,
        version=review.version,
        verdict=review.verdict,
        margin=review.margin,
        strength=review.strength,
        confident=review.confident,
        reasons=review.reasons,
        label_mass_floor=None if known is None else known.label_mass,
        base=review.base,
        head=review.head,
        questions=tuple(
            QuestionShown(
                **one.model_dump(exclude={"floor"}),
                floor=one.floor if one.floor is not None or known is None else known.questions.get(one.id),
                places=_places(diff, one.proposal),
            )
            for one in review.questions
        ),
        questions_left_out=review.questions_left_out,
        shown=review.shown,
        folder=attempt.folder,
    )


def _places(diff: DiffShown | None, proposal: str) -> tuple[str, ...]:
    if diff is None:
        return ()
    return tuple(f"{visible(place.path)}:{place.line}" for place in find_places(diff.excerpt.text, proposal))
