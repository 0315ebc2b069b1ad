"""A pytest plugin: which primitives of the system the attack tests really exercised.

A test in ``tests/attacks/`` says what it rests on::

    @pytest.mark.primitive("bwrap", "seccomp")
    def test_a_tool_cannot_reach_the_network(): ...

or, for a whole module, ``pytestmark = pytest.mark.primitive("netns")``. A primitive counts once a test that names it
has *passed*. The terminal summary prints ``capabilities.json``: kernel, user id, and passed tests by primitive.

- A skip inside ``tests/attacks/`` is a failure: a primitive that is missing must show.
- ``tests/attacks/capabilities.json`` holds the declared list. After a whole run of the folder (every file, no ``-k``,
  ``-m`` or single test) each declared primitive must have been exercised, and each exercised one must be declared.
  To use a new primitive, add its name there, in order.
"""

import json
import os
import platform
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

FOLDER = "tests/attacks/"
DECLARED = "capabilities.json"
PROPERTY = "primitive"


def read_declared(folder: Path) -> tuple[str, ...]:
    """Return the primitives that a whole run must exercise."""
    names = json.loads((folder / DECLARED).read_text(encoding="utf-8"))["primitives"]
    if not isinstance(names, list) or names != sorted({str(name) for name in names}):
        raise ValueError(f"{folder / DECLARED}: 'primitives' must be a sorted list of distinct names")
    return tuple(names)


class Capabilities:
    """Collects from the reports, so that it works in one process and with pytest-xdist's workers alike."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.exercised: Counter[str] = Counter()
        self._files: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the primitives of a passed attack test."""
        if not report.nodeid.startswith(FOLDER):
            return
        self._files.add(report.nodeid.split("::")[0])
        if report.when == "call" and report.passed:
            self.exercised.update(str(value) for name, value in report.user_properties if name == PROPERTY)

    def problems(self) -> tuple[str, ...]:
        """Return what is wrong after a whole run of the folder; empty after a part of it."""
        folder = self._config.rootpath / FOLDER
        option = self._config.option
        narrowed = option.keyword or option.markexpr or any("::" in arg for arg in self._config.args)
        if narrowed or self._files != {f"{FOLDER}{path.name}" for path in folder.glob("test_*.py")}:
            return ()
        declared = set(read_declared(folder))
        lost = [
            f"declared, but no test exercised it: {name}" for name in sorted(declared - set(self.exercised))
        ]
        new = [
            f"exercised, but not declared in {DECLARED}: {name}"
            for name in sorted(set(self.exercised) - declared)
        ]
        return (*lost, *new)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the session when the list has shrunk."""
        if self._files and self.problems() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what was exercised."""
        if not self._files:
            return
        told = {
            "kernel": platform.release(),
            "user_id": os.geteuid(),
            "primitives": dict(sorted(self.exercised.items())),
        }
        terminalreporter.section(DECLARED)
        terminalreporter.write_line(json.dumps(told, indent=1))
        for problem in self.problems():
            terminalreporter.write_line(problem, red=True)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and, where reports arrive, the collector."""
    config.addinivalue_line("markers", "primitive(*names): what of the system an attack test rests on")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Capabilities(config), "pantheon-capabilities")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put a test's primitives into its report, and let no attack test skip."""
    report = yield
    if not item.nodeid.startswith(FOLDER):
        return report
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"an attack test may not skip: {report.longrepr}"
    if report.when == "call":
        names = dict.fromkeys(name for mark in item.iter_markers("primitive") for name in mark.args)
        report.user_properties = [*report.user_properties, *((PROPERTY, name) for name in names)]
    return report
