"""Reports of test runs, read strictly: JUnit XML and TAP 13/14 become one frozen value, or an error.

The bytes were written by code that nobody trusts. Invariants:
- a report is read whole or refused: cut short, too large, too deep and contradicting itself are errors;
- no document type is accepted in XML, so that there are no entities to expand or to fetch;
- where one test stands twice, its worst status counts.

What a report cannot show is that the code told the truth; that it names every test the base named, and agrees with
the exit status, is for ``core.test_comparison`` and ``check_exit``.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal
from xml.parsers import expat

from pydantic import Field

from pantheon.core.model import Frozen
from pantheon.core.tap import read_tap
from pantheon.core.visible import visible_line

MAX_CASES = 200_000
MAX_NAME = 500
_MAX_DEPTH = 16
ReportKind = Literal["junit", "tap"]


class CaseStatus(StrEnum):
    """What became of one test."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not run, or known to fail and not counted (``xfail``, ``todo``)."""


_WORST = (CaseStatus.PASSED, CaseStatus.SKIPPED, CaseStatus.FAILED)


class SuiteCase(Frozen):
    """One test of a report."""

    name: str = Field(min_length=1)
    status: CaseStatus


class SuiteReport(Frozen):
    """All tests of one run, each once, sorted by name."""

    cases: tuple[SuiteCase, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the tests that failed."""
        return tuple(case.name for case in self.cases if case.status is CaseStatus.FAILED)

    def statuses(self) -> dict[str, CaseStatus]:
        """Return name -> status."""
        return {case.name: case.status for case in self.cases}


def parse_report(kind: ReportKind, data: bytes) -> SuiteReport:
    """Read a report.

    Args:
        kind: its format.
        data: the whole report; the caller has bounded its size.

    Raises:
        ValueError: it is not what it should be; the message says how.
    """
    return parse_junit(data) if kind == "junit" else parse_tap(data)


def parse_junit(data: bytes) -> SuiteReport:
    """Read JUnit XML as pytest writes it. Raises ``ValueError``."""
    reader = _JunitReader()
    try:
        reader.feed(data)
    except (expat.ExpatError, LookupError) as error:
        raise ValueError(f"the JUnit report is not well-formed XML: {error}") from error
    if not reader.suites:
        raise ValueError("the JUnit report has no testsuite")
    report = make_report(reader.cases)
    if (reader.declared_failures > 0) != bool(report.failed):
        raise ValueError("the JUnit report declares failures that it does not list, or lists what it denies")
    return report


def parse_tap(data: bytes) -> SuiteReport:
    """Read TAP 13 or 14 as AVA and node write it. Raises ``ValueError``."""
    return make_report((name, CaseStatus(status)) for name, status in read_tap(data, MAX_CASES))


def make_report(cases: Iterable[tuple[str, CaseStatus]]) -> SuiteReport:
    """Return the report of these tests. Raises ``ValueError``: there are none, or too many."""
    found: dict[str, CaseStatus] = {}
    for raw, status in cases:
        name = _short(visible_line(raw))
        found[name] = max(found.get(name, status), status, key=_WORST.index)
    if not found:
        raise ValueError("the report names no test")
    return SuiteReport(cases=tuple(SuiteCase(name=name, status=found[name]) for name in sorted(found)))


def check_exit(report: SuiteReport, returncode: int) -> str:
    """Return in which way report and exit status contradict each other; empty when they agree."""
    if returncode == 0 and report.failed:
        return f"the runner says success, and its report that {report.failed[0]!r} failed"
    if returncode != 0 and not report.failed:
        return f"the runner ended with status {returncode}, and its report has no failed test"
    return ""


def _short(name: str) -> str:
    """Return a name of bounded length that still differs where the whole one does."""
    if not name.strip():
        raise ValueError("the report has a test without a name")
    if len(name) > MAX_NAME:
        raise ValueError(f"the report has a test with a name longer than {MAX_NAME} characters")
    return name


class _JunitReader:
    """Reads one document without building a tree of it.

    The standard library's expat is enough: refusing every document type is what a wrapper such as defusedxml would do.
    """

    def __init__(self) -> None:
        self.cases: list[tuple[str, CaseStatus]] = []
        self.suites = 0
        self.declared_failures = 0
        self._path: list[str] = []
        self._name = ""
        self._status = CaseStatus.PASSED

    def feed(self, data: bytes) -> None:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.Parse(data, True)

    def _refuse(self, *_: object) -> None:
        raise ValueError("the JUnit report has a document type; entities are refused")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        above = self._path[-1] if self._path else ""
        self._path.append(tag)
        if len(self._path) > _MAX_DEPTH:
            raise ValueError(f"the JUnit report is nested deeper than {_MAX_DEPTH}")
        if not above and tag not in ("testsuites", "testsuite"):
            raise ValueError(f"the JUnit report is a <{tag[:40]}>")
        if tag == "testsuite":
            self.suites += 1
            self.declared_failures += _count(attributes, "failures") + _count(attributes, "errors")
        elif tag == "testcase":
            if above != "testsuite":
                raise ValueError("the JUnit report has a test outside a testsuite")
            if len(self.cases) >= MAX_CASES:
                raise ValueError(f"the JUnit report has more than {MAX_CASES} tests")
            place = attributes.get("classname", "")
            name = attributes.get("name", "")
            self._name = f"{place}::{name}" if place else name
            self._status = CaseStatus.PASSED
        elif above == "testcase" and tag in ("failure", "error"):
            self._status = CaseStatus.FAILED
        elif above == "testcase" and tag == "skipped":
            self._status = max(self._status, CaseStatus.SKIPPED, key=_WORST.index)

    def _end(self, tag: str) -> None:
        self._path.pop()
        if tag == "testcase":
            self.cases.append((self._name, self._status))


def _count(attributes: dict[str, str], key: str) -> int:
    text = attributes.get(key, "0")
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise ValueError(f"the JUnit report has {key}={text[:20]!r}")
    return int(text)
