"""The gate's decision: a pure, monotonic function from evidence to allow or deny.

Invariants (property-tested):
- the order in which evidence arrived does not matter;
- taking away what speaks for a change never turns deny into allow, nor does taking away anything where each
  reviewer spoke once and every check is required;
- a verdict that contradicts itself (a pass with a negative margin or with reasons against) denies;
- a verdict counts only for exactly the base, head and tree it was given for;
- a check that failed cannot be outvoted.

Source: DESIGN.md, section 10.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from pantheon.core.model import Frozen
from pantheon.core.review import Review


class CheckResult(Frozen):
    """One deterministic check of a change."""

    name: str
    passed: bool
    reason: str = ""
    """Why not; empty when it passed."""


class CheckReport(Frozen):
    """All checks of one change, bound to the commits they looked at."""

    base: str
    head: str
    tree: str
    checks: tuple[CheckResult, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """``name: reason`` of each failed check."""
        return tuple(f"{check.name}: {check.reason}" for check in self.checks if not check.passed)


class Change(Frozen):
    """What is to be decided on."""

    base: str
    head: str
    tree: str


class Rules(Frozen):
    """What the gate demands."""

    checks: tuple[str, ...] = Field(min_length=1)
    """Names of the checks that must be present and passed."""
    reviewers: tuple[str, ...] = Field(min_length=2)
    """Names of the reviewers that must all pass the change."""


class Decision(Frozen):
    """The gate's answer."""

    decision: Literal["allow", "deny"]
    reasons: tuple[str, ...]
    """Why it was denied; empty when allowed."""
    explanation: str
    """One sentence for people."""
    change: Change


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
    reasons = [
        *_against_checks(change, report, rules),
        *_against_reviews(change, reviews, rules),
        *objections,
    ]
    if len(set(rules.reviewers)) < 2:
        reasons.append("policy: fewer than two different reviewers are required")
    if reasons:
        return Decision(
            decision="deny",
            reasons=tuple(reasons),
            explanation="Denied: " + "; ".join(reasons),
            change=change,
        )
    return Decision(
        decision="allow",
        reasons=(),
        explanation=f"Allowed: {len(rules.checks)} checks passed and {' and '.join(rules.reviewers)} agree.",
        change=change,
    )


def _against_checks(change: Change, report: CheckReport | None, rules: Rules) -> list[str]:
    if report is None:
        return ["checks: missing"]
    if (report.base, report.head, report.tree) != (change.base, change.head, change.tree):
        return ["checks: made for another change"]
    passed = {check.name for check in report.checks if check.passed}
    failed = {check.name for check in report.checks if not check.passed}
    missing = sorted(set(rules.checks) - passed - failed)
    return [*sorted(report.failures), *(f"{name}: the check is missing" for name in missing)]


def _against_reviews(change: Change, reviews: Sequence[Review], rules: Rules) -> list[str]:
    reasons = []
    for name in sorted(set(rules.reviewers)):
        own = [review for review in reviews if review.reviewer == name]
        bound = [r for r in own if (r.base, r.head, r.tree) == (change.base, change.head, change.tree)]
        if not own:
            reasons.append(f"{name}: no verdict")
        elif len(bound) != len(own):
            reasons.append(f"{name}: a verdict for another change")
        elif not all(_passes(review) for review in bound):
            said = sorted({reason for review in bound for reason in review.reasons})
            reasons.append(f"{name}: " + ("; ".join(said) or "did not pass it"))
    return reasons


def _passes(review: Review) -> bool:
    return (
        review.verdict == "pass" and review.margin is not None and review.margin >= 0 and not review.reasons
    )
