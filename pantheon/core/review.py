"""Contrastive reviews: which of two texts fits, asked in both orders, read from one token's log-probabilities.

A small model asked "is this good?" says yes to right and wrong alike. Asked "which of these two fits, A or B?"
against a text that is known to be wrong, in both label orders, it answers well, and the mean over both orders
cancels its liking for a letter. No mass on either letter means no answer, and no answer is never a pass.

Source: DESIGN.md, section 10; docs/review.md has the figures.
"""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from pantheon.core.agent import Question
from pantheon.core.chat import TokenAlternatives
from pantheon.core.model import Frozen
from pantheon.core.prompt import defuse

LABELS = ("A", "B")
ROUNDING = 1e-3
"""How far above 0 a log-probability may lie for a server's rounding."""


class Reading(Frozen):
    """One answer: how far the model preferred A, and how much of its mass was on the labels at all."""

    margin: float
    """log P(A) - log P(B), in nats."""
    label_mass: float = Field(ge=0)
    """P(A) + P(B), variants with and without a leading space together."""


class Contrast(Frozen):
    """One comparison of the proposal with one decoy, in both orders."""

    question: str
    """Id of the question."""
    proposal: str
    decoy: str
    margins: tuple[float, float]
    """Preference for the proposal when it stood as A, and when it stood as B."""
    margin: float
    """Their mean."""
    label_mass: float
    """The smaller of the two masses."""
    fits: bool
    """Whether the proposal was preferred clearly enough."""
    floor: float = 0.0
    """The least mean margin that the question demands, before calibration."""


class Review(Frozen):
    """A reviewer's verdict over one change, bound to the commits it was given for."""

    reviewer: str
    version: str
    verdict: Literal["pass", "fail"]
    margin: float | None
    """The smallest margin of the contrasts that were asked; None when nothing was."""
    strength: float | None = None
    """How far the weakest contrast lay above its question's floor; None unless every one was answered."""
    confident: float = 0.0
    """The calibrated strength that a pass needed."""
    reasons: tuple[str, ...]
    base: str
    head: str
    tree: str
    questions: tuple[Contrast, ...] = ()
    unasked: int = Field(default=0, ge=0)
    """Comparisons that were not made because the verdict was certain before them; a pass has none."""
    shown: str = ""
    """How much of the target the reviewer was shown, in words; empty where that was all."""
    merged: str | None = None
    """Tree that would land, where it is not the head's own."""

    @model_validator(mode="after")
    def _pass_is_whole(self) -> "Review":
        if self.verdict == "pass" and self.unasked:
            raise ValueError("unasked: a pass needs every comparison")
        return self


def question_text(question: Question, first: str, second: str) -> str:
    """Return the turn that asks for one letter.

    Each alternative is kept on its own line, so that a proposal cannot write a second alternative or an order.
    """
    first, second = (" ".join(defuse(text).split()) for text in (first, second))
    return f"{question.text}\nA: {first}\nB: {second}\nAnswer with the single letter."


def read_letter(token: TokenAlternatives) -> Reading | None:
    """Read a preference from the first output token; None when neither letter is among the alternatives, or when
    what the server reports are no log-probabilities.

    A letter that is missing among the alternatives is given the mass of the least likely one reported: it can
    only be less likely than that, so the preference is understated, never overstated.
    """
    if any(logprob > ROUNDING for _, logprob in token.top):
        return None
    best: dict[str, float] = {}
    mass = 0.0
    for text, logprob in token.top:
        label = text.strip()
        if label in LABELS:
            best[label] = max(best.get(label, -math.inf), logprob)
            mass += math.exp(logprob)
    if not best:
        return None
    floor = min(logprob for _, logprob in token.top)
    first, second = (best.get(label, floor) for label in LABELS)
    return Reading(margin=first - second, label_mass=min(mass, 1.0))


def contrast(
    question: Question,
    proposal: str,
    decoy: str,
    forward: Reading,
    backward: Reading,
    mass_floor: float,
    confident: float = 0.0,
) -> Contrast:
    """Combine the two orders of one comparison.

    Args:
        question: what was asked; its ``floor`` is the least mean margin.
        proposal: the text under review.
        decoy: the text that is known to be wrong.
        forward: the reading with the proposal as A.
        backward: the reading with the proposal as B.
        mass_floor: the least mass on the labels that counts as an answer.
        confident: how far above its floor the margin must be, by calibration.
    """
    margins = (forward.margin, -backward.margin)
    mean = (margins[0] + margins[1]) / 2
    mass = min(forward.label_mass, backward.label_mass)
    return Contrast(
        question=question.id,
        proposal=proposal,
        decoy=decoy,
        margins=margins,
        margin=mean,
        label_mass=mass,
        fits=mean >= question.floor + confident and mass >= mass_floor,
        floor=question.floor,
    )


def is_lost(contrasts: Sequence[Contrast], unanswered: Sequence[str]) -> bool:
    """Tell whether the verdict can only be fail, whatever the comparisons that are still to come say.

    Args:
        contrasts: the comparisons that were answered so far.
        unanswered: reasons of those that could not be made.
    """
    return bool(unanswered) or any(not one.fits for one in contrasts)


def conclude(
    *,
    reviewer: str,
    version: str,
    base: str,
    head: str,
    tree: str,
    contrasts: Sequence[Contrast],
    expected: int,
    mass_floor: float,
    unanswered: Sequence[str] = (),
    unasked: int = 0,
    confident: float = 0.0,
    shown: str = "",
) -> Review:
    """Return the verdict: pass only when every expected contrast was answered and favours the proposal.

    Args:
        reviewer: name of the agent.
        version: its version.
        base: commit the change starts from.
        head: commit under review.
        tree: tree of ``head``.
        contrasts: the comparisons that were answered.
        expected: number of comparisons that had to be made.
        mass_floor: for the wording of the reasons.
        unanswered: reasons of comparisons that could not be made.
        unasked: comparisons that were left out because the verdict was certain.
        confident: the calibrated strength that the contrasts were held to.
        shown: how much of the target was shown, in words; empty where that was all.
    """
    reasons = list(unanswered)
    for one in contrasts:
        if one.label_mass < mass_floor:
            reasons.append(f"{one.question}: no clear answer (mass {one.label_mass:.2f} on the letters)")
        elif not one.fits:
            reasons.append(
                f"{one.question}: {one.proposal!r} was not preferred to {one.decoy!r} (margin {one.margin:+.2f})"
            )
    if len(contrasts) + unasked < expected and not unanswered:
        reasons.append(f"{expected - len(contrasts) - unasked} of {expected} comparisons are missing")
    if unasked:
        reasons.append(f"the review ended early: {unasked} of {expected} comparisons were not asked")
    passed = not reasons and expected > 0
    if reasons and shown:
        reasons.append(f"the reviewer was shown {shown}")
    if expected == 0:
        reasons.append("there was nothing to compare with")
    whole = len(contrasts) == expected and not unanswered
    answered = whole and all(one.label_mass >= mass_floor for one in contrasts)
    return Review(
        reviewer=reviewer,
        version=version,
        verdict="pass" if passed else "fail",
        margin=min((one.margin for one in contrasts), default=None),
        strength=min((one.margin - one.floor for one in contrasts), default=None) if answered else None,
        confident=confident,
        reasons=tuple(reasons),
        base=base,
        head=head,
        tree=tree,
        questions=tuple(contrasts),
        unasked=unasked,
        shown=shown,
    )
