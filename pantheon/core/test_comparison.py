"""Tests as evidence: what a change did to each test, and whether that speaks against it.

Invariants (property-tested):
- the order of tests and of reruns does not matter;
- a missing report denies; taking away what speaks for a change (a pass on the head, a failure or a rerun on the base,
  a failure that shows what a new test covers) never turns deny into allow; a new test that is not there claims nothing;
- every test that is worse than on the base is named.

Words: *introduced* fails on the head and not on the base; *fixed* the other way round; *flaky* did both on the base
alone; *new* is on the head only; *removed* on the base only; *weakened* is skipped now and was run before; *uncovering*
claims to cover the change, and does not fail without it.

Source: DESIGN.md, section 10.
"""

import re
from collections.abc import Iterable, Sequence

from pantheon.core.model import Frozen
from pantheon.core.test_reports import CaseStatus, SuiteReport

NAMED = 5
"""So many tests are named in a reason; the comparison has all of them."""


class Claims(Frozen):
    """What is claimed to cover the change."""

    tests: tuple[str, ...] = ()
    """Names of tests that the task says cover it."""
    new_tests: bool = False
    """Whether the change brings test files: then every new test claims to cover it."""
    files: tuple[str, ...] = ()
    """Paths of the test files that the change brings."""


class Comparison(Frozen):
    """What a change did to the tests, by name, sorted."""

    introduced: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()
    still_failing: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    weakened: tuple[str, ...] = ()
    uncovering: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Reports that are not there."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What speaks against the change; empty when the tests are no worse than on the base."""
        said = (
            ("no report of ", self.missing),
            ("fails, and did not on the base: ", self.introduced),
            ("is gone: ", self.removed),
            ("is skipped, and was not on the base: ", self.weakened),
            ("claims to cover the change, and does not fail without it: ", self.uncovering),
        )
        return tuple(words + _some(names) for words, names in said if names)


def needs_rerun(base: SuiteReport, head: SuiteReport) -> bool:
    """Tell whether a rerun of the base could show that a test is flaky that seems worse."""
    now, was = head.statuses(), base.statuses()
    worse = (CaseStatus.FAILED, CaseStatus.SKIPPED)
    return any(now.get(name) in worse and now[name] is not status for name, status in was.items())


def compare_suites(
    base: SuiteReport | None,
    head: SuiteReport | None,
    *,
    reruns: Sequence[SuiteReport] = (),
    crossed: SuiteReport | None = None,
    claims: Claims | None = None,
) -> Comparison:
    """Compare the tests before and after a change.

    Args:
        base: the run on the base.
        head: the run on the change.
        reruns: further runs on the base, which can only excuse.
        crossed: the run of the change's test files on the base's code; None where it was not made.
        claims: which tests claim to cover the change.
    """
    if base is None or head is None:
        absent = [name for name, report in (("the base", base), ("the change", head)) if report is None]
        return Comparison(missing=tuple(absent))
    claims = claims or Claims()
    was, now = base.statuses(), head.statuses()
    seen = {name: {status} for name, status in was.items()}
    for rerun in reruns:
        for name, status in rerun.statuses().items():
            seen.get(name, set()).add(status)
    new = sorted(now.keys() - was.keys())
    failing = [name for name, status in now.items() if status is CaseStatus.FAILED]
    skipped = [name for name, status in now.items() if status is CaseStatus.SKIPPED]
    claiming = {*claims.tests, *(new if claims.new_tests else ())}
    return Comparison(
        introduced=_sorted(name for name in failing if CaseStatus.FAILED not in seen.get(name, ())),
        fixed=_sorted(
            name
            for name, before in seen.items()
            if before == {CaseStatus.FAILED} and now.get(name) is CaseStatus.PASSED
        ),
        flaky=_sorted(name for name, before in seen.items() if len(before) > 1),
        still_failing=_sorted(name for name in failing if seen.get(name) == {CaseStatus.FAILED}),
        new=tuple(new),
        removed=_sorted(was.keys() - now.keys()),
        weakened=_sorted(
            name for name in skipped if name in was and CaseStatus.SKIPPED not in seen.get(name, ())
        ),
        uncovering=_sorted(
            name
            for name in claiming
            if not (now.get(name) is CaseStatus.PASSED and _fails_without(name, base, crossed, claims.files))
        ),
    )


def _fails_without(name: str, base: SuiteReport, crossed: SuiteReport | None, files: Sequence[str]) -> bool:
    if base.statuses().get(name) is CaseStatus.FAILED:
        return True
    # A test file that cannot even be loaded stands in the report under its own name, without its tests.
    failed = crossed.failed if crossed is not None else ()
    if any(name == one or ("::" not in one and _holds(one, name)) for one in failed):
        return True
    # In TAP a test does not say which file it is of; it cannot have run there where each of the files broke.
    absent = crossed is not None and name not in crossed.statuses()
    return absent and bool(files) and all(any(_is_about(one, path) for one in failed) for path in files)


def _is_about(failure: str, path: str) -> bool:
    """Tell whether a failure is that of a whole file: node names it by its path, AVA by a sentence with its path."""
    return re.search(rf"(?:^|[\s/]){re.escape(path)}(?:$|\s)", failure) is not None


def _holds(file: str, test: str) -> bool:
    place, separator, _ = test.partition("::")
    return bool(separator) and f"{place}.".startswith(f"{file}.")


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
