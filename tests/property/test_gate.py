"""The gate's laws: it fails closed, evidence taken away never allows, order does not matter."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.gate import Change, CheckReport, CheckResult, Rules, decide
from pantheon.core.review import Review

CHANGE = Change(base="b" * 40, head="c" * 40, tree="d" * 40)
RULES = Rules(checks=("scope", "body"), reviewers=("review.peerA", "review.peerB"))


def report(**passed: bool | None) -> CheckReport:
    """A check report on the change; None: a person must look."""
    results = tuple(
        CheckResult(name=n, passed=bool(p), hold=p is None, reason="" if p else "no")
        for n, p in passed.items()
    )
    return CheckReport(**CHANGE.model_dump(), checks=results)


def review(name: str, **changes: object) -> Review:
    """A verdict on the change that passes it, but for what is changed."""
    fields = {
        "reviewer": name,
        "version": "1",
        "verdict": "pass",
        "margin": 1.0,
        "reasons": (),
        **CHANGE.model_dump(),
    }
    return Review.model_validate({**fields, **changes})


GOOD = (review("review.peerA"), review("review.peerB"))
hashes = st.sampled_from([CHANGE.base, CHANGE.head, CHANGE.tree, "e" * 40])
reviews = st.lists(
    st.builds(
        review,
        st.sampled_from(["review.peerA", "review.peerB", "other"]),
        verdict=st.sampled_from(["pass", "fail"]),
        margin=st.sampled_from([None, -1.0, 0.5]),
        head=hashes,
        tree=hashes,
    )
    | st.sampled_from(GOOD),
    max_size=5,
)
outcomes = st.sampled_from([True, False, None])
reports = (
    st.none() | st.builds(report, scope=outcomes, body=outcomes) | st.builds(report, scope=st.booleans())
)
discounts = st.dictionaries(
    st.sampled_from(["review.peerA", "review.peerB", "other"]), st.just("not measured")
)
RANK = {"deny": 0, "hold": 1, "allow": 2}


def test_full_agreement_allows() -> None:
    """All checks and both reviewers: the one way to be allowed."""
    assert decide(CHANGE, report(scope=True, body=True), GOOD, RULES).decision == "allow"


OBJECTIONS = st.lists(st.sampled_from(["no signature", "tests: worse"]), max_size=3)


@given(reports, reviews, discounts, OBJECTIONS, st.randoms(use_true_random=False))
def test_order_does_not_matter(
    checks: CheckReport | None,
    given_reviews: list[Review],
    who: dict[str, str],
    objections: list[str],
    random: Random,
) -> None:
    """The same evidence in another order gives the same decision, word for word."""
    rules = RULES.model_copy(update={"discounted": who})
    before = decide(CHANGE, checks, given_reviews, rules, objections)
    others, against = list(given_reviews), list(objections)
    random.shuffle(others)
    random.shuffle(against)
    if checks is not None:
        mixed = list(checks.checks)
        random.shuffle(mixed)
        checks = checks.model_copy(update={"checks": tuple(mixed)})
    assert decide(CHANGE, checks, others, rules, against) == before


@given(reports, reviews)
def test_taking_support_away_never_allows(checks: CheckReport | None, given_reviews: list[Review]) -> None:
    """Deny stays deny without any verdict that passes the change, without the report, without a check that passed."""
    if decide(CHANGE, checks, given_reviews, RULES).decision == "allow":
        return
    for gone in given_reviews:
        if speaks_for(gone):
            fewer = [r for r in given_reviews if r is not gone]
            assert decide(CHANGE, checks, fewer, RULES).decision != "allow"
    assert decide(CHANGE, None, given_reviews, RULES).decision == "deny"
    if checks is not None:
        for place in range(len(checks.checks)):
            left = checks.checks[:place] + checks.checks[place + 1 :]
            smaller = checks.model_copy(update={"checks": left})
            assert decide(CHANGE, smaller, given_reviews, RULES).decision != "allow"


@given(reports, reviews, st.data())
def test_silencing_a_reviewer_never_allows(
    checks: CheckReport | None, given_reviews: list[Review], data: st.DataObject
) -> None:
    """Where each reviewer spoke once, no part of the evidence, not even the worst, allows by its absence."""
    once = list({r.reviewer: r for r in given_reviews if r.reviewer in RULES.reviewers}.values())
    if decide(CHANGE, checks, once, RULES).decision == "allow":
        return
    fewer = data.draw(st.lists(st.sampled_from(once), unique_by=id)) if once else []
    assert decide(CHANGE, checks, fewer, RULES).decision != "allow"


@given(reports, reviews)
def test_allow_means_full_agreement(checks: CheckReport | None, given_reviews: list[Review]) -> None:
    """Whatever is allowed has every check passed and only verdicts that pass it, one at least from each reviewer."""
    if decide(CHANGE, checks, given_reviews, RULES).decision != "allow":
        return
    assert checks is not None
    assert {check.name for check in checks.checks if check.passed} == set(RULES.checks)
    heard = [r for r in given_reviews if r.reviewer in RULES.reviewers]
    assert {r.reviewer for r in heard} == set(RULES.reviewers)
    assert all(speaks_for(r) for r in heard)


@given(reviews)
def test_a_failed_check_cannot_be_outvoted(given_reviews: list[Review]) -> None:
    """No set of verdicts allows what a check refuses, or what a check did not look at."""
    for bad in (report(scope=True, body=False), report(scope=True), None):
        assert decide(CHANGE, bad, [*GOOD, *given_reviews], RULES).decision == "deny"


@given(st.sampled_from(["base", "head", "tree"]), st.sampled_from([0, 1]))
def test_a_verdict_for_another_change_denies(field: str, which: int) -> None:
    """Verdicts and checks count for exactly the commits they were given for."""
    altered = list(GOOD)
    altered[which] = altered[which].model_copy(update={field: "f" * 40})
    good = report(scope=True, body=True)
    assert decide(CHANGE, good, altered, RULES).decision == "deny"
    assert decide(CHANGE, good.model_copy(update={field: "f" * 40}), GOOD, RULES).decision == "deny"


def test_what_is_missing_denies() -> None:
    """One reviewer, one reviewer twice, no margin, one fail beside a pass: each denies."""
    good = report(scope=True, body=True)
    one = review("review.peerA")
    for given_reviews in (
        [],
        [one],
        [one, one],
        [one, review("review.peerB", margin=None)],
        [*GOOD, review("review.peerB", verdict="fail", reasons=("no",))],
        [one, review("other")],
    ):
        assert decide(CHANGE, good, given_reviews, RULES).decision == "deny"
    twice = Rules(checks=("scope",), reviewers=("review.peerA", "review.peerA"))
    assert decide(CHANGE, report(scope=True), [one, one], twice).decision == "deny"


@pytest.mark.parametrize("altered", [{"margin": -0.01}, {"reasons": ("doubt",)}, {"verdict": "fail"}])
def test_a_pass_that_contradicts_itself_denies(altered: dict[str, object]) -> None:
    """A pass beside a negative margin or a reason against the change was not said by the rules of reviews."""
    given_reviews = [GOOD[0], review("review.peerB", **altered)]
    assert decide(CHANGE, report(scope=True, body=True), given_reviews, RULES).decision == "deny"


def test_a_check_that_both_passed_and_failed_denies() -> None:
    """A second, friendlier result of the same check does not undo the first."""
    both = CheckReport(
        **CHANGE.model_dump(),
        checks=(*report(scope=True, body=False).checks, CheckResult(name="body", passed=True)),
    )
    assert decide(CHANGE, both, GOOD, RULES).decision == "deny"


@given(
    reports,
    reviews,
    discounts,
    OBJECTIONS,
    st.data(),
)
def test_no_part_of_the_evidence_allows_or_frees_by_its_absence(
    checks: CheckReport | None,
    given_reviews: list[Review],
    who: dict[str, str],
    objections: list[str],
    data: st.DataObject,
) -> None:
    """Without what one reviewer or one check said, or without the report, a decision never gets better."""
    rules = RULES.model_copy(update={"discounted": who})
    before = RANK[decide(CHANGE, checks, given_reviews, rules, objections).decision]
    silent = data.draw(st.sampled_from(rules.reviewers))
    fewer = [one for one in given_reviews if one.reviewer != silent]
    assert RANK[decide(CHANGE, checks, fewer, rules, objections).decision] <= before
    assert decide(CHANGE, None, given_reviews, rules, objections).decision == "deny"
    if checks is not None:
        gone = data.draw(st.sampled_from(rules.checks))
        left = tuple(one for one in checks.checks if one.name != gone)
        smaller = checks.model_copy(update={"checks": left})
        assert decide(CHANGE, smaller, given_reviews, rules, objections).decision == "deny"


@given(reviews, discounts)
def test_the_word_of_the_discounted_is_no_evidence(given_reviews: list[Review], who: dict[str, str]) -> None:
    """Whatever a reviewer says whose word does not count, the decision is the same, and never allow."""
    rules = RULES.model_copy(update={"discounted": who})
    good = report(scope=True, body=True)
    made = decide(CHANGE, good, given_reviews, rules)
    if not who.keys() & set(RULES.reviewers):
        assert made == decide(CHANGE, good, given_reviews, RULES)
        return
    assert made.decision != "allow"
    assert made == decide(CHANGE, good, [one for one in given_reviews if one.reviewer not in who], rules)


def test_what_a_person_must_see_is_held_and_says_so() -> None:
    """A check that holds and a reviewer who is not qualified hold a change that nothing denies, with the reason."""
    held = decide(CHANGE, report(scope=True, body=None), GOOD, RULES)
    assert held.decision == "hold" and held.reasons == ("body: no",) and "person" in held.explanation
    doubted = decide(
        CHANGE,
        report(scope=True, body=True),
        GOOD,
        RULES.model_copy(update={"discounted": dict.fromkeys(RULES.reviewers, "not measured")}),
    )
    assert doubted.decision == "hold" and len(doubted.reasons) == 2
    assert decide(CHANGE, report(scope=False, body=None), GOOD, RULES).decision == "deny"
    assert decide(CHANGE, report(scope=True, body=None), GOOD[:1], RULES).decision == "deny"


def test_a_check_that_holds_and_says_it_passed_holds() -> None:
    """A result that contradicts itself is read the worse way."""
    odd = CheckReport(
        **CHANGE.model_dump(),
        checks=(*report(scope=True).checks, CheckResult(name="body", passed=True, hold=True, reason="no")),
    )
    assert decide(CHANGE, odd, GOOD, RULES).decision == "hold"


def test_evidence_is_bound_to_the_tree_that_would_land() -> None:
    """Verdicts and checks on the head do not count for a merge that comes to another tree, and the other way round."""
    good = report(scope=True, body=True)
    merged = {"merged": "e" * 40}
    other = CHANGE.model_copy(update=merged)
    there = [one.model_copy(update=merged) for one in GOOD]
    assert decide(other, good.model_copy(update=merged), there, RULES).decision == "allow"
    assert decide(other, good, there, RULES).decision == "deny"
    assert decide(other, good.model_copy(update=merged), GOOD, RULES).decision == "deny"
    assert decide(CHANGE, good, there, RULES).decision == "deny"
    same = CHANGE.model_copy(update={"merged": CHANGE.tree})
    assert decide(same, good, GOOD, RULES).decision == "allow"


def speaks_for(one: Review) -> bool:
    """Whether a verdict passes exactly this change."""
    bound = (one.base, one.head, one.tree) == (CHANGE.base, CHANGE.head, CHANGE.tree)
    return bound and one.verdict == "pass" and one.margin is not None and one.margin >= 0 and not one.reasons
