"""Figures and thresholds over known changes."""

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.calibration import CaseResult, Judged, Scope, calibrate, fit_thresholds

A, B = "review.peerA", "review.peerB"


def case(
    kind: str, a: float | None, b: float | None, *, number: int = 0, failures: tuple[str, ...] = ()
) -> CaseResult:
    """One case; where the checks denied it nobody was asked."""
    judged = (
        () if failures else (Judged(reviewer=A, strength=a, calls=2), Judged(reviewer=B, strength=b, calls=3))
    )
    return CaseResult(
        case=f"{kind}{number}", subject=f"s{number}", kind=kind, failures=failures, judged=judged
    )


def test_each_reviewer_may_catch_what_the_other_misses() -> None:
    """A kind that only one of them sees does not cost the other's good ones."""
    results = [
        case("good", 2.0, 1.5, number=1), case("good", 1.0, 1.2, number=2),
        case("swapped_title", 0.2, 9.0, number=1), case("swapped_description", 9.0, 0.3, number=2),
    ]  # fmt: skip
    assert fit_thresholds(results, [A, B]) == {A: 0.6, B: 0.75}
    found = calibrate(results)
    assert (found.false_accepts.hits, found.false_rejects.hits) == (0, 0)
    assert found.reviewers[0].areas["swapped_title"].value == 1
    assert found.reviewers[0].areas["swapped_description"].value == 0
    assert found.reviewers[0].false_accepts.hits == 1


def test_what_the_checks_deny_is_theirs() -> None:
    """A bad change that the checks denied is no reviewer's merit, and a good one no reviewer's fault."""
    results = [
        case("good", 1.0, 1.0, number=1),
        case("good", None, None, number=2, failures=("size: too large",)),
        case("truncated_file", None, None, number=1, failures=("body: the body was changed",)),
        case("swapped_title", 0.1, 0.1, number=1),
    ]
    found = calibrate(results)
    assert (found.checks_alone.hits, found.checks_alone.total) == (1, 2)
    assert (found.false_rejects.hits, found.false_rejects.total) == (1, 2)
    assert found.reviewers[0].false_rejects.total == 1
    assert [(k.kind, k.past_checks, k.past_all) for k in found.kinds] == [
        ("good", 1, 1), ("swapped_title", 1, 0), ("truncated_file", 0, 0),
    ]  # fmt: skip


def test_a_reviewer_is_ranked_by_what_it_asks_about() -> None:
    """Who does not ask about titles is not ranked by swapped ones; what it made of them is told all the same."""
    results = [
        case("good", 2.0, 1.5, number=1),
        case("swapped_title", 0.2, 9.0, number=1),
        case("swapped_description", 0.1, 0.3, number=2),
        case("false_detail", 9.0, 9.0, number=3),
    ]
    asks = {A: Scope(), B: Scope(fields=frozenset({"description", "tags"}))}
    first, second = calibrate(results, asks).reviewers
    assert (first.area.value, first.area.bad) == (1, 2)
    assert (second.area.value, second.area.bad) == (1, 1)
    assert second.areas["swapped_title"].value == 0
    assert second.areas["false_detail"].value == 0


def test_a_review_without_an_answer_never_passes() -> None:
    """No threshold accepts what has no strength."""
    found = calibrate([case("good", None, 1.0, number=1), case("swapped_title", 0.1, 0.1, number=2)])
    assert found.false_rejects.hits == 1


def test_cases_without_any_review_are_counted() -> None:
    """Where checks denied everything there are no reviewers' figures, and no error."""
    found = calibrate([case("truncated_file", None, None, failures=("body: changed",))])
    assert found.reviewers == ()
    assert found.false_accepts.hits == 0


_strengths = st.one_of(st.none(), st.floats(-2, 4).map(lambda number: round(number, 2)))
_results = st.lists(
    st.tuples(st.sampled_from(["good", "swapped_title", "false_detail"]), _strengths, _strengths), max_size=30
).map(lambda drawn: [case(kind, a, b, number=n) for n, (kind, a, b) in enumerate(drawn)])


@given(_results)
def test_no_known_bad_change_passes_the_thresholds_it_was_fitted_with(results: list[CaseResult]) -> None:
    """Whatever was measured; and a threshold is never below 0."""
    found = calibrate(results)
    assert found.false_accepts.hits == 0
    assert all(one.confident > 0 for one in found.reviewers)


@given(_results, st.randoms(use_true_random=False))
def test_the_order_of_the_cases_does_not_matter(results: list[CaseResult], chance: object) -> None:
    """Interrupted and resumed, a calibration says the same."""
    shuffled = list(results)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert calibrate(shuffled) == calibrate(results)


def test_results_from_before_there_were_sources_keep_their_bytes() -> None:
    """A source is written where there is one; every result reads back as it was."""
    old = CaseResult(case="a", subject="a", kind="good", failures=())
    new = old.model_copy(update={"source": "5" * 40})
    assert "source" not in old.model_dump(mode="json")
    assert new.model_dump(mode="json")["source"] == "5" * 40
    for one in (old, new):
        assert CaseResult.model_validate(one.model_dump(mode="json")) == one
