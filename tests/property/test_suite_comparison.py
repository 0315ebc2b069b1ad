"""The comparison of tests: laws that hold for any reports."""

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.test_comparison import Claims, compare_suites, needs_rerun
from pantheon.core.test_reports import CaseStatus, SuiteCase, SuiteReport

NAMES = st.sampled_from(["a", "b", "m::c", "m::d", "m", "e"])
REPORTS = st.dictionaries(NAMES, st.sampled_from(CaseStatus), max_size=6).map(
    lambda found: SuiteReport(cases=tuple(SuiteCase(name=n, status=s) for n, s in found.items()))
)
CLAIMS = st.builds(
    Claims,
    tests=st.lists(NAMES, max_size=2).map(tuple),
    new_tests=st.booleans(),
    files=st.sampled_from([(), ("m",), ("m", "e")]),
)
RERUNS = st.lists(REPORTS, max_size=3)


def report(**cases: CaseStatus) -> SuiteReport:
    return SuiteReport(cases=tuple(SuiteCase(name=name, status=status) for name, status in cases.items()))


def without(report: SuiteReport, place: int) -> SuiteReport:
    return SuiteReport(cases=report.cases[:place] + report.cases[place + 1 :])


@given(REPORTS, REPORTS, RERUNS, REPORTS | st.none(), CLAIMS, st.randoms(use_true_random=False))
def test_order_does_not_matter(base, head, reruns, crossed, claims, random) -> None:
    """Tests in another order and reruns in another order give the same comparison."""

    def shuffled(report):
        cases = list(report.cases)
        random.shuffle(cases)
        return SuiteReport(cases=tuple(cases))

    again = [shuffled(one) for one in reruns]
    random.shuffle(again)
    assert compare_suites(
        base, head, reruns=reruns, crossed=crossed, claims=claims
    ) == compare_suites(
        shuffled(base), shuffled(head), reruns=again,
        crossed=None if crossed is None else shuffled(crossed), claims=claims,
    )  # fmt: skip


@given(REPORTS, REPORTS, RERUNS, REPORTS | st.none(), CLAIMS, st.integers(0, 5))
def test_less_evidence_never_allows(base, head, reruns, crossed, claims, place) -> None:
    """Taking away a report, a rerun, a test that speaks for the change, or a failure of the base never allows."""
    if not compare_suites(base, head, reruns=reruns, crossed=crossed, claims=claims).reasons:
        return

    def denies(base_=base, head_=head, reruns_=reruns, crossed_=crossed):
        found = compare_suites(base_, head_, reruns=reruns_, crossed=crossed_, claims=claims)
        return bool(found.reasons)

    assert denies(base_=None) and denies(head_=None) and denies(crossed_=None)
    if place < len(reruns):
        assert denies(reruns_=reruns[:place] + reruns[place + 1 :])
        assert denies(reruns_=[without(one, 0) for one in reruns])
    if crossed is not None and place < len(crossed.cases) and crossed.cases[place].name in crossed.failed:
        assert denies(crossed_=without(crossed, place))
    if place < len(head.cases) and head.cases[place].status is CaseStatus.PASSED:
        name = head.cases[place].name
        # A new test of a change that brings test files claims to cover it: without the test there is no such claim.
        if not claims.new_tests or name in base.statuses() or name in claims.tests:
            assert denies(head_=without(head, place))


def test_a_claim_that_is_not_made_denies_nothing() -> None:
    """A new test that does not fail without the change denies it; the same change without that test is allowed."""
    base, claims = report(a=CaseStatus.PASSED), Claims(new_tests=True)
    head = report(a=CaseStatus.PASSED, b=CaseStatus.PASSED)
    assert compare_suites(base, head, claims=claims).uncovering == ("b",)
    assert not compare_suites(base, base, claims=claims).reasons
    named = Claims(tests=("b",), new_tests=True)
    assert compare_suites(base, base, claims=named).uncovering == ("b",), (
        "a test that the task names must be there"
    )


@given(REPORTS, REPORTS, RERUNS)
def test_every_worse_test_is_named(base, head, reruns) -> None:
    """A test that passed in every run of the base, and does not pass now, denies under its own name."""
    found = compare_suites(base, head, reruns=reruns)
    for name, status in base.statuses().items():
        if status is not CaseStatus.PASSED or head.statuses().get(name) is CaseStatus.PASSED:
            continue
        if any(rerun.statuses().get(name, status) is not status for rerun in reruns):
            continue
        assert name in {*found.introduced, *found.removed, *found.weakened}
        assert found.reasons


@given(REPORTS)
def test_the_same_tests_are_no_worse(report) -> None:
    """A change that changes no test is not denied, and needs no rerun."""
    assert compare_suites(report, report).reasons == ()
    assert not needs_rerun(report, report)
