"""The laws of planting canaries, and of what they say of a reviewer."""

import math
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.canaries import (
    CanaryPolicy,
    CanaryResult,
    against_standing,
    judge_standing,
    place_canaries,
    plan_canaries,
)

NAMES = st.text("abcdef0123456789", min_size=1, max_size=12)
POLICIES = st.builds(
    CanaryPolicy,
    rate=st.floats(0, 1),
    minimum=st.integers(0, 12),
    allowed=st.floats(0, 0.9),
)
TASKS = 1_000


def planted_in(policy: CanaryPolicy, night: str, tasks: int) -> list[int]:
    """Return how many canaries each review of a night is given, where every review takes place."""
    counts: list[int] = []
    for number in range(tasks):
        counts.append(
            plan_canaries(
                policy, night=night, reviewer="review.peerA", task=f"b/{number}",
                reviews=number, planted=sum(counts), left=tasks - number,
            )
        )  # fmt: skip
    return counts


@given(POLICIES, NAMES, st.integers(1, 60))
def test_a_whole_night_meets_minimum_and_rate(policy: CanaryPolicy, night: str, tasks: int) -> None:
    """Where every review takes place there are as many canaries as the policy asks for, and no more than it takes."""
    total = sum(planted_in(policy, night, tasks))
    assert total == max(policy.minimum, math.ceil(policy.rate * tasks))


@given(NAMES, st.integers(1, 200))
def test_the_same_night_is_planted_the_same_way(night: str, tasks: int) -> None:
    """Nothing but the night, the names and the counts decides."""
    assert planted_in(CanaryPolicy(), night, tasks) == planted_in(CanaryPolicy(), night, tasks)


def test_canaries_are_spread_and_nights_differ() -> None:
    """In a large night no stretch goes without canaries, and no place is the same in every night."""
    nights = [planted_in(CanaryPolicy(), f"n{number}", TASKS) for number in range(5)]
    for counts in nights:
        assert sum(counts) == 100 and max(counts) <= 2
        places = [-1, *(place for place, count in enumerate(counts) if count), TASKS]
        assert max(after - before for before, after in pairwise(places)) < TASKS * 0.1
        quarters = [sum(counts[start : start + 250]) for start in range(0, TASKS, 250)]
        assert all(15 <= quarter <= 35 for quarter in quarters)
    assert len({tuple(counts) for counts in nights}) == 5


def test_the_minimum_comes_early() -> None:
    """Where every fifth of fifteen tasks fails before its review, few nights leave a reviewer short."""
    nights, short = 400, 0
    for night in range(nights):
        lot, planted, reviews = Random(night), 0, 0
        for number in range(15):
            if lot.random() < 0.2:
                continue
            planted += plan_canaries(
                CanaryPolicy(), night=f"n{night}", reviewer="r", task=str(number),
                reviews=reviews, planted=planted, left=15 - number,
            )  # fmt: skip
            reviews += 1
        short += planted < 5
    assert short < nights * 0.05


@given(POLICIES, NAMES, st.integers(2, 40), st.data())
def test_what_was_missed_is_made_up_for(
    policy: CanaryPolicy, night: str, tasks: int, data: st.DataObject
) -> None:
    """Canaries that came to nothing are planted again with later reviews, up to the last one."""
    missing = data.draw(st.sets(st.integers(0, tasks - 2)))
    measured = 0
    for number in range(tasks):
        count = plan_canaries(
            policy, night=night, reviewer="r", task=str(number),
            reviews=number, planted=measured, left=tasks - number,
        )  # fmt: skip
        measured += 0 if number in missing else count
    assert measured >= min(policy.minimum, 8)


@given(st.integers(0, 20), NAMES, NAMES)
def test_the_real_change_stands_anywhere(count: int, night: str, task: str) -> None:
    """Some canaries come before the real change and some after, never more than there are."""
    assert 0 <= place_canaries(count, night=night, reviewer="r", task=task) <= count


def result(number: int, verdict: str, reviewer: str = "r") -> CanaryResult:
    """Return what became of one canary."""
    return CanaryResult.model_validate(
        {
            "night": "n", "task": "t", "node": "r", "attempt": 1, "reviewer": reviewer, "version": "1",
            "number": number, "kind": "k", "content": "c", "verdict": verdict,
        }
    )  # fmt: skip


VERDICTS = st.lists(st.sampled_from(["pass", "fail", "none"]), max_size=20)


@given(POLICIES, VERDICTS, st.integers(0, 3), st.randoms(use_true_random=False))
def test_passing_more_never_helps(
    policy: CanaryPolicy, verdicts: list[str], left: int, random: Random
) -> None:
    """Neither the order of the canaries nor saying one twice matters, and what passed one more is no better."""
    results = [result(number, verdict) for number, verdict in enumerate(verdicts, start=1)]
    before = judge_standing(policy, "r", [*results, result(1, "pass", "another")])
    again = [*results, *results[:3]]
    random.shuffle(again)
    assert judge_standing(policy, "r", again) == before
    worse = [one.model_copy(update={"verdict": "pass"}) if one.verdict == "fail" else one for one in results]
    after = judge_standing(policy, "r", worse)
    assert after.disqualified or not before.disqualified
    assert after.accepted == after.measured == before.measured
    if against_standing(before, left=left):
        assert against_standing(after, left=left)


@given(POLICIES, st.integers(1, 20))
def test_one_that_passes_everything_is_disqualified(policy: CanaryPolicy, count: int) -> None:
    """Whoever passes every canary is caught as soon as there were as many as the minimum."""
    standing = judge_standing(policy, "r", [result(n + 1, "pass") for n in range(max(count, policy.minimum))])
    assert standing.disqualified
    assert "disqualified" in against_standing(standing, left=1)


def test_a_default_policy_allows_none() -> None:
    """One false acceptance is enough, and canaries that were not measured count for nothing."""
    policy = CanaryPolicy()
    assert not judge_standing(policy, "r", [result(1, "none")] * 9).disqualified
    good = judge_standing(policy, "r", [result(n, "fail") for n in range(1, 6)])
    assert not against_standing(good, left=0)
    short = judge_standing(policy, "r", [result(n, "fail" if n < 5 else "none") for n in range(1, 6)])
    assert against_standing(short, left=1) == ""
    assert against_standing(short, left=0).startswith("not measured: 4 of at least 5")
    bad = judge_standing(policy, "r", [result(n, "fail" if n < 5 else "pass") for n in range(1, 6)])
    assert bad.disqualified and bad.accepted == 1
