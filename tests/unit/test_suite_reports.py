"""Reports of test runs: what pytest, node and AVA write is read; what lies or is cut short is refused."""

from pathlib import Path

import pytest

from pantheon.core.test_reports import (
    CaseStatus,
    SuiteReport,
    check_exit,
    make_report,
    parse_junit,
    parse_report,
    parse_tap,
)

JUNIT = """<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1"
failures="1" skipped="1" tests="4" time="0.1"><testcase classname="t.test_a" name="test_ok" time="0.1" /><testcase
classname="t.test_a" name="test_bad"><failure message="assert 0">text</failure></testcase><testcase
classname="t.test_a" name="test_skip"><skipped type="pytest.xfail" message="" /></testcase><testcase classname=""
name="t.test_b"><error message="collection failure">x</error></testcase></testsuite></testsuites>"""
NODE = """TAP version 13
# Subtest: adds
    # Subtest: one and one
    ok 1 - one and one
      ---
      duration_ms: 0.2
      type: 'test'
      ...
    # Subtest: carries
    not ok 2 - carries
      ---
      error: |-
        not ok 9 - this is no test
      ...
    1..2
not ok 1 - adds
  ---
  duration_ms: 0.9
  ...
# Subtest: later
ok 2 - later # SKIP not now
not ok 3 - one day # TODO
ok 4 - same
ok 5 - same
1..5
# tests 5
"""


def statuses(report: SuiteReport) -> dict[str, str]:
    return {case.name: str(case.status) for case in report.cases}


def test_what_pytest_writes_is_read() -> None:
    """Failures, errors of collection, skips and expected failures each have their status."""
    assert statuses(parse_report("junit", JUNIT.encode())) == {
        "t.test_a::test_ok": "passed",
        "t.test_a::test_bad": "failed",
        "t.test_a::test_skip": "skipped",
        "t.test_b": "failed",
    }


def test_what_node_writes_is_read() -> None:
    """Subtests stand under their test, directives count as skipped, and a second test of a name is told apart."""
    assert statuses(parse_report("tap", NODE.encode())) == {
        "adds > one and one": "passed",
        "adds > carries": "failed",
        "adds": "failed",
        "later": "skipped",
        "one day": "skipped",
        "same": "passed",
        "same (2)": "passed",
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1..2\nok 1 - a\n", "plans 2"),
        ("1..1\nok 1 - a\nok 2 - b\n", "plans 1"),
        ("ok 1 - a\n", "no plan"),
        ("1..1\nok 1 - a\n1..1\n", "two plans"),
        ("ok 1 - a\n1..1\nok 2 - b\n", "after its plan"),
        ("1..2\nok 1 - a\nok 1 - b\n", "test 1 in place 2"),
        ("1..1\nok 1 - a\nBail out! no database\n", "bails out"),
        ("1..1\nok 1 - a\n    Bail out!\n", "bails out"),
        ("1..1\nok 1 - a\n  ---\nnot ok 2\n", "within a diagnostic"),
        ("1..1\nok 1 - a\n    ok 1 - b\n    1..1\n", "subtests of no test"),
        ("        ok 1 - a\n1..0\n", "deeper than its place"),
        ("    ok 1 - a\nok 1 - b\n1..1\n", "no plan"),
        ("1..0 # SKIP nothing here\n", "no test"),
        ("", "no plan"),
        ("1..1\nok 1 - " + "x" * 600 + "\n", "longer than"),
    ],
)
def test_tap_that_lies_is_refused(text: str, why: str) -> None:
    """Plans and numbers must fit the tests, and nothing may be cut short."""
    with pytest.raises(ValueError, match=why):
        parse_tap(text.encode())


RECORDED = Path(__file__).parents[1] / "recorded"


def test_what_node_20_wrote_is_read() -> None:
    """Of three real files: one that fails in places, one that cannot be loaded, one that breaks off at its end."""
    assert statuses(parse_tap((RECORDED / "node-20.tap").read_bytes())) == {
        "adds": "passed",
        "breaks \\# here": "failed",
        "later": "skipped",
        "some day": "skipped",
        "a group > inside": "passed",
        "a group > inside bad": "failed",
        "a group": "failed",
        "/work/bad.test.js": "failed",
        "seen": "passed",
        "/work/late.test.js": "failed",
    }


def test_what_ava_7_wrote_is_read() -> None:
    """The same; what a test prints is no test, and the files that broke are failures beyond the plan."""
    found = statuses(parse_tap((RECORDED / "ava-7.tap").read_bytes()))
    assert [name for name, status in found.items() if status == "passed"] == [
        "a \u203a adds", "a \u203a known", "a \u203a says", "late \u203a seen",
    ]  # fmt: skip
    assert [name for name, status in found.items() if status == "skipped"] == [
        "a \u203a later", "a \u203a some day",
    ]  # fmt: skip
    assert found["a \u203a breaks # here"] == found["a \u203a no assertion"] == "failed"
    assert found["ava1/bad.test.js exited with a non-zero exit code: 1"] == "failed"


@pytest.mark.parametrize(
    "text",
    [
        "1..1\nok 1 - a\nok 2 - b\n",
        "1..1\nok 1 - a\nnot ok 2 - b\nok 3 - c\n",
        "1..2\nok 1 - a\nok 1 - b\nnot ok 1 - c\n",
        "1..3\nok 1 - a\nnot ok 9 - b\n",
    ],
)
def test_only_failures_may_be_more_than_planned(text: str) -> None:
    """A pass beyond the plan, a pass in another's place and a test too few are refused beside a failure too."""
    with pytest.raises(ValueError, match=r"plans|in place"):
        parse_tap(text.encode())


SUITE = '<testsuite name="s" failures="0" errors="0"><testcase classname="c" name="n"/></testsuite>'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + SUITE, "document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd">' + SUITE, "document type"),
        (SUITE[:-5], "not well-formed"),
        ("", "not well-formed"),
        ("<html/>", "is a <html>"),
        ("<testsuites/>", "no testsuite"),
        ("<testsuite/>", "names no test"),
        (SUITE.replace('failures="0"', 'failures="1"'), "declares failures"),
        (SUITE.replace('name="n"/>', 'name="n"><failure/></testcase>'), "declares failures"),
        (SUITE.replace('failures="0"', 'failures="-1"'), "failures='-1'"),
        ("<testsuite>" + "<a>" * 20 + "</a>" * 20 + "</testsuite>", "deeper than"),
        ("<testsuites><testcase name='a'/></testsuites>", "outside a testsuite"),
        ("<testsuite><testcase name=''/></testsuite>", "without a name"),
        ("<?xml version='1.0' encoding='no-such'?>" + SUITE, "not well-formed"),
    ],
)
def test_junit_that_lies_is_refused(text: str, why: str) -> None:
    """No document type, nothing cut short, and no counts that the tests do not bear out."""
    with pytest.raises(ValueError, match=why):
        parse_junit(text.encode())


def test_the_worst_of_one_test_counts() -> None:
    """A test that stands twice, as pytest writes errors of a teardown, is as bad as its worst entry."""
    twice = make_report([("a", CaseStatus.FAILED), ("a", CaseStatus.PASSED), ("b", CaseStatus.PASSED)])
    assert statuses(twice) == {"a": "failed", "b": "passed"}


@pytest.mark.parametrize(
    ("status", "returncode", "agrees"),
    [(CaseStatus.PASSED, 0, True), (CaseStatus.FAILED, 1, True), (CaseStatus.FAILED, 0, False),
     (CaseStatus.PASSED, 1, False), (CaseStatus.PASSED, 2, False)],
)  # fmt: skip
def test_report_and_exit_status_must_agree(status: CaseStatus, returncode: int, agrees: bool) -> None:
    """A runner that fails has a failed test, and one that succeeds has none."""
    assert (check_exit(make_report([("a", status)]), returncode) == "") is agrees


def test_names_show_as_they_are() -> None:
    """A name cannot move a cursor or turn a direction of writing."""
    assert statuses(make_report([("a\x1b[2Jb\u202ec", CaseStatus.PASSED)])) == {
        "a\\u001b[2Jb\\u202ec": "passed"
    }
