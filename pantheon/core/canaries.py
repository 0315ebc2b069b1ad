"""Canaries: known-bad changes put before the reviewers among the real ones, and what becomes of who passes them.

Invariants (property-tested):
- how many are planted with a review, and where, is a pure function of the night, the reviewer, the task and counts;
- a reviewer whose every review takes place has met the policy's minimum and rate with its last one;
- a canary that could not be judged is neither a rejection nor an acceptance: it is not measured, and is made up for;
- more canaries passed never make a reviewer's standing better.

Source: DESIGN.md, section 10 ("Canaries"); ADR 0019.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from pantheon.core.canonical import digest_bytes
from pantheon.core.figures import Rate, wilson
from pantheon.core.model import Frozen

MOST_AT_ONCE = 8
"""Canaries planted with one review, unless the minimum is larger."""


class CanaryPolicy(Frozen):
    """``[canaries]`` of ``policies/gate.toml``."""

    rate: float = Field(default=0.1, ge=0, le=1, allow_inf_nan=False)
    """Canaries for each real review of a reviewer, as a share."""
    minimum: int = Field(default=5, ge=0, le=100)
    """Least canaries for each reviewer that gives verdicts in a night; 0 with a rate of 0 plants none."""
    allowed: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)
    """Most of its canaries that a reviewer may pass, as a share; one that passes more is disqualified."""

    @property
    def plants(self) -> bool:
        """Whether there are any canaries."""
        return self.rate > 0 or self.minimum > 0


class CanaryResult(Frozen):
    """What became of one canary before one reviewer."""

    night: str
    task: str
    """Key of the task among whose reviews it was planted."""
    node: str
    attempt: int = Field(ge=1)
    reviewer: str = Field(min_length=1)
    version: str
    number: int = Field(ge=1)
    """Among the reviewer's canaries of this task."""
    kind: str
    """In which way the change was spoilt; empty where none could be made."""
    content: str
    """SHA-256 of what the change would have made of its target; empty where none could be made."""
    verdict: Literal["pass", "fail", "none"]
    """``pass`` is a false acceptance; ``none``: not measured."""
    margin_millinats: int | None = Field(default=None, alias="marginMillinats")
    cause: str = ""
    """Why it was not measured; empty when it was."""


class Standing(Frozen):
    """What a reviewer's canaries of a night say of it."""

    reviewer: str
    measured: int
    """Canaries that it gave a verdict on."""
    accepted: int
    """Those it passed."""
    missed: int
    """Those that could not be judged."""
    minimum: int
    """Canaries that it had to be measured with."""
    disqualified: bool
    """It passed more than the policy allows: its verdicts of the night do not count."""

    @property
    def short(self) -> bool:
        """Whether it was measured with fewer than the minimum."""
        return self.measured < self.minimum


class CanaryRate(Frozen):
    """A reviewer's measured rate of false acceptance."""

    reviewer: str
    false_accept: Rate
    """Canaries it passed, of those it gave a verdict on."""
    missed: int
    """Canaries that could not be judged."""
    minimum: int
    short: bool
    """Whether it was measured with fewer than the minimum."""
    disqualified: bool


def plan_canaries(
    policy: CanaryPolicy, *, night: str, reviewer: str, task: str, reviews: int, planted: int, left: int
) -> int:
    """Return how many canaries to plant with a review that is about to begin.

    Each review gets its share of what is still wanted over the reviews that can still come, and a fraction is
    drawn. The minimum is spread over the first half of those, for some never come about.

    Args:
        policy: how many there are to be.
        night: the night's id; with reviewer and task it decides the draw.
        reviewer: name of the reviewer.
        task: key of the task under review.
        reviews: reviews that the reviewer has begun before in this night.
        planted: its canaries so far that were measured or are under way.
        left: its reviews that may still begin, this one included.
    """
    left = max(left, 1)
    chance = _fraction(night, reviewer, task, "plant")
    by_minimum = _share(policy.minimum - planted, math.ceil(left / 2), chance)
    wanted = math.ceil(policy.rate * (reviews + left))
    by_rate = _share(wanted - planted, left, chance)
    return min(max(by_minimum, by_rate), max(policy.minimum, MOST_AT_ONCE))


def place_canaries(count: int, *, night: str, reviewer: str, task: str) -> int:
    """Return how many of a review's canaries come before the real change, from 0 to ``count``; the rest come after."""
    return math.floor(_fraction(night, reviewer, task, "place") * (count + 1))


def seed_of(night: str, reviewer: str, task: str, number: int) -> int:
    """Return the seed that a canary is made with."""
    return int(digest_bytes("\0".join((night, reviewer, task, str(number))).encode())[:15], 16)


def distinct(results: Iterable[CanaryResult]) -> tuple[CanaryResult, ...]:
    """Return each canary once; one that is there twice counts as passed where one of the two says so."""
    rank = {"none": 0, "fail": 1, "pass": 2}
    found: dict[tuple[str, str, int], CanaryResult] = {}
    for one in results:
        key = (one.reviewer, one.task, one.number)
        if key not in found or rank[one.verdict] > rank[found[key].verdict]:
            found[key] = one
    return tuple(found.values())


def judge_standing(policy: CanaryPolicy, reviewer: str, results: Iterable[CanaryResult]) -> Standing:
    """Return what a reviewer's canaries say of it.

    Args:
        policy: what it must reach.
        reviewer: its name; what others did is left out.
        results: canaries of one night.
    """
    own = [one for one in distinct(results) if one.reviewer == reviewer]
    measured = [one for one in own if one.verdict != "none"]
    accepted = sum(one.verdict == "pass" for one in measured)
    tolerated = math.floor(policy.allowed * max(len(measured), policy.minimum))
    return Standing(
        reviewer=reviewer,
        measured=len(measured),
        accepted=accepted,
        missed=len(own) - len(measured),
        minimum=policy.minimum,
        disqualified=accepted > tolerated,
    )


def against_standing(standing: Standing, *, left: int) -> str:
    """Return why a reviewer's verdicts do not count; empty when they do.

    Args:
        standing: what its canaries say.
        left: its reviews of the night that have not ended: a shortfall can be made up as long as there are any.
    """
    if standing.disqualified:
        return f"disqualified: it passed {standing.accepted} of {standing.measured} canaries"
    if standing.short and left == 0:
        return f"not measured: {standing.measured} of at least {standing.minimum} canaries were judged"
    return ""


def rate_canaries(standings: Iterable[Standing]) -> tuple[CanaryRate, ...]:
    """Return each reviewer's measured rate of false acceptance with its interval, by name."""
    return tuple(
        CanaryRate(
            reviewer=one.reviewer,
            false_accept=wilson(one.accepted, one.measured),
            missed=one.missed,
            minimum=one.minimum,
            short=one.short,
            disqualified=one.disqualified,
        )
        for one in sorted(standings, key=lambda one: one.reviewer)
    )


def say_canaries(rates: Sequence[CanaryRate], landed: int, *, closed: bool) -> str:
    """Return what the first line of a report must say of the reviewers; empty when there is nothing against them.

    Args:
        rates: every reviewer.
        landed: accepted changes that rest on the word of a disqualified one.
        closed: whether the night came to its end: until then a shortfall can be made up.
    """
    told = []
    for one in rates:
        found = one.false_accept
        if one.disqualified:
            told.append(f"{one.reviewer} was disqualified, it passed {found.hits} of {found.total} canaries")
        elif one.short and closed:
            told.append(f"{one.reviewer} was measured with {found.total} of at least {one.minimum} canaries")
    if landed:
        changes = "1 accepted change rests" if landed == 1 else f"{landed} accepted changes rest"
        told.append(f"{changes} on the word of a disqualified reviewer")
    return f"{'; '.join(told)}." if told else ""


def _share(wanted: int, places: int, chance: float) -> int:
    """Return one place's share of what is wanted, its fraction drawn."""
    if wanted <= 0:
        return 0
    whole, rest = divmod(wanted, places)
    return whole + (chance < rest / places)


def _fraction(*parts: str) -> float:
    return int(digest_bytes("\0".join(parts).encode())[:8], 16) / 2**32
