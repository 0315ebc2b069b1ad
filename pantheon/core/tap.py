"""TAP 13 and 14, read strictly: plans, numbers, subtests, directives and diagnostics.

Invariants:
- each level has one plan, first or last, and as many tests, numbered in order; but where a whole file broke off, AVA
  reports more failures than it planned and node numbers that failure by the file, so failures may be more, and
  numbered otherwise: a report can say worse than it planned, never better;
- ``Bail out!`` is an error, wherever it stands, and so is a diagnostic that does not end;
- lines that are no TAP are passed over, as the format demands: they can add no test and take none away.

Source: the Test Anything Protocol, versions 13 and 14.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

_POINT = re.compile(r"(not )?ok\b(?: +(\d{1,9}))?(?: *-)?(?: +(.*))?$")
_PLAN = re.compile(r"1\.\.(\d{1,9})(?: *#.*)?$")
_DIRECTIVE = re.compile(r"(?<!\\)#\s*(skip|todo)\b.*$", re.IGNORECASE)
_BAIL = re.compile(r"bail out!", re.IGNORECASE)
_INDENT = 4
_MAX_DEPTH = 32

Case = tuple[str, str]


@dataclass
class _Level:
    """The tests at one depth that have not yet been given to a test above them."""

    plan: int | None = None
    closed: bool = False
    """Whether the plan stood after the tests; nothing may follow it."""
    points: int = 0
    failed: int = 0
    cases: list[Case] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    below: list[Case] = field(default_factory=list)


def read_tap(data: bytes, max_cases: int) -> tuple[Case, ...]:
    """Return name and status (``passed``, ``failed``, ``skipped``) of each test; subtests as ``above > below``.

    Raises:
        ValueError: it is no whole TAP, lies about its number of tests, or has more than ``max_cases``.
    """
    levels = [_Level()]
    diagnostic: int | None = None
    total = 0
    for raw in data.decode("utf-8", "replace").split("\n"):
        line = raw.rstrip()
        text = line.lstrip(" ")
        indent = len(line) - len(text)
        if diagnostic is not None:
            diagnostic = None if text == "..." and indent == diagnostic else diagnostic
            continue
        if text == "---" and indent % _INDENT == _INDENT // 2:
            diagnostic = indent
        elif _BAIL.match(text):
            raise ValueError(f"the TAP report bails out: {text[:200]}")
        elif indent % _INDENT == 0 and (plan := _PLAN.match(text)):
            _set_plan(_at(levels, indent // _INDENT), int(plan[1]))
        elif indent % _INDENT == 0 and (point := _POINT.match(text)):
            total += 1
            if total > max_cases:
                raise ValueError(f"the TAP report has more than {max_cases} tests")
            _add(_at(levels, indent // _INDENT), point)
    if diagnostic is not None:
        raise ValueError("the TAP report ends within a diagnostic")
    top = _at(levels, 0)
    _check_plan(top)
    if top.below:
        raise ValueError("the TAP report has subtests of no test")
    return tuple(top.cases)


def _at(levels: list[_Level], depth: int) -> _Level:
    """Return the level at a depth, closing those below it."""
    if depth > _MAX_DEPTH or depth > len(levels):
        raise ValueError("the TAP report has a subtest deeper than its place")
    if depth == len(levels):
        levels.append(_Level())
    while len(levels) > depth + 1:
        ended = levels.pop()
        _check_plan(ended)
        if ended.below:
            raise ValueError("the TAP report has subtests of no test")
        if levels[-1].below:
            raise ValueError("the TAP report has two groups of subtests for one test")
        levels[-1].below = ended.cases
    return levels[depth]


def _set_plan(level: _Level, count: int) -> None:
    if level.plan is not None:
        raise ValueError("the TAP report has two plans")
    level.plan = count
    level.closed = level.points > 0


def _check_plan(level: _Level) -> None:
    if level.plan is None:
        raise ValueError("the TAP report has no plan; it may have been cut short")
    if not 0 <= level.points - level.plan <= level.failed:
        raise ValueError(f"the TAP report plans {level.plan} tests and has {level.points}")


def _add(level: _Level, point: re.Match[str]) -> None:
    if level.closed:
        raise ValueError("the TAP report has a test after its plan")
    level.points += 1
    level.failed += point[1] is not None
    if point[1] is None and point[2] is not None and int(point[2]) != level.points:
        raise ValueError(f"the TAP report has test {point[2]} in place {level.points}")
    described = point[3] or ""
    directive = _DIRECTIVE.search(described)
    name = (described[: directive.start()] if directive else described).strip()
    status = "skipped" if directive else "failed" if point[1] else "passed"
    name = name or f"test {level.points}"
    level.seen[name] += 1
    if level.seen[name] > 1:
        name = f"{name} ({level.seen[name]})"
    level.cases += [(f"{name} > {below}", its) for below, its in level.below]
    level.below = []
    level.cases.append((name, status))
