"""The gate's decision: a pure, monotonic function from evidence to allow, deny or hold.

Deny stands above hold, and hold above allow: one reason to deny denies whatever else there is, and a change that
nothing denies is held when a person must look at it. A held change never lands at night.

Invariants (property-tested):
- the order in which evidence arrived does not matter;
- taking away what speaks for a change never turns deny or hold into allow, nor does taking away anything where
  each reviewer spoke once and every check is required;
- a verdict that contradicts itself (a pass with a negative margin or with reasons against) denies;
- a verdict counts only for exactly the base, head, tree and merged tree it was given for;
- a check that failed cannot be outvoted;
- the word of a reviewer that is discounted is no evidence, neither for nor against: the change is held.

Source: DESIGN.md, section 10.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from pantheon.core.model import Frozen
from pantheon.core.review import Review

HELD = "held for a person: "
"""What the cause of a held change begins with."""


class CheckResult(Frozen):
    """One deterministic check of a change."""

    name: str
    passed: bool
    reason: str = ""
    """Why not; empty when it passed."""
    hold: bool = False
    """It did not pass, and the policy lets a person look at it instead of denying."""


class CheckReport(Frozen):
    """All checks of one change, bound to the commits they looked at."""

    base: str
    head: str
    tree: str
    checks: tuple[CheckResult, ...]
    merged: str | None = None
    """Tree that would land, where it is not the head's own."""

    @property
    def failures(self) -> tuple[str, ...]:
        """``name: reason`` of each check that did not pass, those that hold included."""
        return tuple(
            f"{check.name}: {check.reason}" for check in self.checks if check.hold or not check.passed
        )

    @property
    def denials(self) -> tuple[str, ...]:
        """``name: reason`` of each failed check that no person is asked about."""
        return tuple(f"{one.name}: {one.reason}" for one in self.checks if not one.passed and not one.hold)


class Change(Frozen):
    """What is to be decided on."""

    base: str
    head: str
    tree: str
    """Tree of the head."""
    merged: str | None = None
    """Tree that would land, where it is not the head's own."""

    @property
    def lands(self) -> str:
        """The tree that would land."""
        return self.merged or self.tree


class Rules(Frozen):
    """What the gate demands."""

    checks: tuple[str, ...] = Field(min_length=1)
    """Names of the checks that must be present and passed."""
    reviewers: tuple[str, ...] = Field(min_length=2)
    """Names of the reviewers that must all pass the change."""
    discounted: dict[str, str] = Field(default_factory=dict)
    """Reviewer -> why its word is no evidence: nobody has measured it, or it was disqualified this night."""


class Decision(Frozen):
    """The gate's answer."""

    decision: Literal["allow", "deny", "hold"]
    reasons: tuple[str, ...]
    """Why it was denied or held; empty when allowed."""
    explanation: str
    """One sentence for people."""
    change: Change

    @property
    def cause(self) -> str:
        """Why it does not land, as the store keeps it; empty when allowed."""
        return (HELD if self.decision == "hold" else "") + "; ".join(self.reasons)


def decide(
    change: Change,
    report: CheckReport | None,
    reviews: Sequence[Review],
    rules: Rules,
    objections: Sequence[str] = (),
) -> Decision:
    """Decide on a change. Nothing is ever raised: what is missing or does not fit denies.

    Args:
        change: what is to be decided on.
        report: the checks of it.
        reviews: the verdicts on it.
        rules: what the gate demands.
        objections: what else is against it, such as the want of signatures; each denies.
    """
    against = [
        *_against_checks(change, report, rules),
        *_against_reviews(change, reviews, rules),
        *sorted(set(objections)),
    ]
    if len(set(rules.reviewers)) < 2:
        against.append("policy: fewer than two different reviewers are required")
    doubts = [*_held_checks(report), *_discounted(rules)]
    if against:
        told = "Denied: " + "; ".join(against)
        return Decision(decision="deny", reasons=(*against, *doubts), explanation=told, change=change)
    if doubts:
        told = "Held, a person must look at it: " + "; ".join(doubts)
        return Decision(decision="hold", reasons=tuple(doubts), explanation=told, change=change)
    return Decision(
        decision="allow",
        reasons=(),
        explanation=f"Allowed: {len(rules.checks)} checks passed and {' and '.join(rules.reviewers)} agree.",
        change=change,
    )


def _against_checks(change: Change, report: CheckReport | None, rules: Rules) -> list[str]:
    if report is None:
        return ["checks: missing"]
    if not _is_about(report, change):
        return ["checks: made for another change"]
    there = {check.name for check in report.checks}
    missing = sorted(set(rules.checks) - there)
    return [*sorted(set(report.denials)), *(f"{name}: the check is missing" for name in missing)]


def _held_checks(report: CheckReport | None) -> list[str]:
    return [] if report is None else sorted(set(report.failures) - set(report.denials))


def _discounted(rules: Rules) -> list[str]:
    names = sorted(set(rules.reviewers) & rules.discounted.keys())
    return [f"{name}: {rules.discounted[name]}" for name in names]


def _against_reviews(change: Change, reviews: Sequence[Review], rules: Rules) -> list[str]:
    reasons = []
    for name in sorted(set(rules.reviewers)):
        if name in rules.discounted:
            continue
        own = [review for review in reviews if review.reviewer == name]
        bound = [review for review in own if _is_about(review, change)]
        if not own:
            reasons.append(f"{name}: no verdict")
        elif len(bound) != len(own):
            reasons.append(f"{name}: a verdict for another change")
        elif not all(_passes(review) for review in bound):
            said = sorted({reason for review in bound for reason in review.reasons})
            reasons.append(f"{name}: " + ("; ".join(said) or "did not pass it"))
    return reasons


def _is_about(evidence: CheckReport | Review, change: Change) -> bool:
    same = (evidence.base, evidence.head, evidence.tree) == (change.base, change.head, change.tree)
    return same and (evidence.merged or evidence.tree) == change.lands


def _passes(review: Review) -> bool:
    return (
        review.verdict == "pass" and review.margin is not None and review.margin >= 0 and not review.reasons
    )
