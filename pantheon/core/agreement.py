"""How far reviewers agree with each other, from their verdicts.

Invariants:
- a task counts for a pair only when both gave a verdict on it;
- a reviewer's last verdict on a task is the one that counts.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations

from pantheon.core.figures import Rate, quantile, wilson
from pantheon.core.model import Frozen


class Verdict(Frozen):
    """One reviewer's word on one task."""

    task: str
    reviewer: str
    version: str
    verdict: str
    """``pass`` or ``fail``."""
    margin: float | None


class ReviewerRate(Frozen):
    """What one version of a reviewer said."""

    reviewer: str
    version: str
    passed: Rate
    median_margin: float | None


class Agreement(Frozen):
    """Two reviewers on the tasks that both judged."""

    first: str
    second: str
    both_pass: int
    only_first: int
    only_second: int
    both_fail: int
    agree: Rate
    disputed: tuple[str, ...]
    """Keys of the tasks on which they differ."""


def rate_reviewers(verdicts: Iterable[Verdict]) -> tuple[ReviewerRate, ...]:
    """Return how often each version of each reviewer passed a change, and its median margin."""
    groups: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
    for one in verdicts:
        groups[one.reviewer, one.version].append(one)
    rows = []
    for (reviewer, version), group in sorted(groups.items()):
        margins = [one.margin for one in group if one.margin is not None]
        rows.append(
            ReviewerRate(
                reviewer=reviewer,
                version=version,
                passed=wilson(sum(one.verdict == "pass" for one in group), len(group)),
                median_margin=quantile(margins, 0.5) if margins else None,
            )
        )
    return tuple(rows)


def compare_reviewers(verdicts: Iterable[Verdict]) -> tuple[Agreement, ...]:
    """Return the agreement of every pair of reviewers that judged a task in common."""
    said: dict[str, dict[str, bool]] = defaultdict(dict)
    for one in verdicts:
        said[one.reviewer][one.task] = one.verdict == "pass"
    rows = []
    for first, second in combinations(sorted(said), 2):
        common = [task for task in said[first] if task in said[second]]
        if not common:
            continue
        pairs = [(said[first][task], said[second][task]) for task in common]
        rows.append(
            Agreement(
                first=first,
                second=second,
                both_pass=pairs.count((True, True)),
                only_first=pairs.count((True, False)),
                only_second=pairs.count((False, True)),
                both_fail=pairs.count((False, False)),
                agree=wilson(sum(a == b for a, b in pairs), len(pairs)),
                disputed=tuple(t for t, (a, b) in zip(common, pairs, strict=True) if a != b),
            )
        )
    return tuple(rows)
