"""Tests as evidence in a whole night: real sandbox, real pytest, real git, and a scripted model."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pantheon.adapters.base_runs import BaseRunFolder
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.sandbox.bubblewrap import open_bubblewrap
from pantheon.core.bubblewrap import ReadOnlyBind
from pantheon.core.sandbox import SandboxLimits, SandboxResult
from pantheon.core.suite import SuitePolicy
from pantheon.core.task import Task
from pantheon.engine.suite_runner import SuiteRunner
from pantheon.testing.night import Bench, NoteScript, opened
from pantheon.testing.sample_notes import NOTE, about_queues
from pantheon.testing.suites import with_tests
from pantheon.testing.user_repository import git, make_repository

SITE = "/opt/site-packages"
COMMAND = (
    "/usr/bin/env", f"PYTHONPATH={SITE}", "/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider",
    "--junitxml={report}",
)  # fmt: skip
OTHER = NOTE.replace(b"queues notes", b"lag notes")
PROPOSALS = {"queues": about_queues(), "lag": about_queues("Slow Consumers behind Retries with Backoff")}
HEAD = "from pathlib import Path\n\nNOTES = [p.read_text() for p in sorted(Path('docs').iterdir())]\n\n"
SOUND = HEAD + "def test_sound():\n    assert NOTES\n"
QUEUES, LAG = "docs/2026.01.01.md", "docs/2026.01.02.md"


class CountedSandbox:
    """The real sandbox; each run is told its number, by which a test can be flaky on purpose."""

    def __init__(self) -> None:
        site = str(Path(pytest.__file__).resolve().parents[1])
        self._inner = open_bubblewrap(SystemClock(), reads=(ReadOnlyBind(source=site, target=SITE),))
        self.kind = self._inner.kind
        self.runs = 0

    async def run(
        self, argv: Sequence[str], tree: Path, limits: SandboxLimits, *, env: Mapping[str, str] | None = None
    ) -> SandboxResult:
        self.runs += 1
        return await self._inner.run(argv, tree, limits, env={**(env or {}), "RUN": str(self.runs)})


@asynccontextmanager
async def suite_night(
    tmp_path: Path, tests: str, **policy: object
) -> AsyncIterator[tuple[Bench, CountedSandbox]]:
    """A repository with two notes and these tests, and a flow that runs them after the checks."""
    files = {QUEUES: NOTE, LAG: OTHER, "tests/test_notes.py": tests.encode()}
    root = make_repository(tmp_path / "user", files)
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:
        services, sandbox = bench.services, CountedSandbox()
        content = services.content
        suite = SuitePolicy.model_validate({"command": COMMAND, "report": "junit", "wall_s": 30, **policy})
        bench.services = replace(
            services,
            suites=SuiteRunner(
                services.repository, sandbox, "0" * 64, BaseRunFolder(tmp_path / "state" / "base_runs")
            ),
            content=replace(
                content,
                flows={"docops": with_tests(content.flows["docops"])},
                gate_policy=content.gate_policy.model_copy(update={"tests": suite}),
            ),
        )
        yield bench, sandbox


def task(target: str, **inputs: object) -> Task:
    return Task.model_validate(
        {
            "id": Path(target).stem,
            "kind": "docops",
            "goal": "Catalogue the note",
            "targets": [target],
            "inputs": inputs,
        }
    )


def artifact(tmp_path: Path, target: str, name: str) -> str:
    (found,) = (tmp_path / "night" / "artifacts").glob(f"n1/*{Path(target).stem}/tests/001/{name}")
    return found.read_text()


async def test_a_broken_test_is_named_and_only_its_task_denied(tmp_path: Path) -> None:
    """The change that breaks a test is denied with the test's name; the other lands, and the base ran once for both."""
    tests = (
        SOUND
        + "def test_no_order():\n    assert not any('dead-letter-queues' in p.name for p in Path('docs').iterdir())\n"
    )
    async with suite_night(tmp_path, tests, reruns=1) as (bench, sandbox):
        summary = await bench.work([task(QUEUES), task(LAG)])
        causes = {one.key.partition("/")[2]: one.cause for one in summary.tasks}
        assert summary.outcomes == {"denied": 1, "accepted": 1}, causes
        assert sandbox.runs == 4  # two changes, the base, and one rerun of it
    broken = "fails, and did not on the base: tests.test_notes::test_no_order"
    assert causes["2026.01.01"] == f"tests: tests: {broken}"
    report = json.loads(artifact(tmp_path, QUEUES, "test_report.json"))["runs"][0]["tests"]
    assert report == {"tests.test_notes::test_no_order": "failed", "tests.test_notes::test_sound": "passed"}
    assert "1 failed, 1 passed" in artifact(tmp_path, QUEUES, "stdout.log")
    names = git(tmp_path / "user", "ls-tree", "-r", "--name-only", "pantheon/night-n1").split()
    assert "docs/slow-consumers-behind-retries-with-backoff.md" in names and QUEUES in names


async def test_a_fixed_test_is_told_and_kept_runs_are_used_again(tmp_path: Path) -> None:
    """A test that failed before and passes now speaks for the change, also where the task claims it."""
    tests = SOUND + "def test_titled():\n    assert any('title: ' in note for note in NOTES)\n"
    async with suite_night(tmp_path, tests) as (bench, sandbox):
        summary = await bench.work([task(QUEUES, covers=["tests.test_notes::test_titled"])])
        assert summary.outcomes == {"accepted": 1}, summary.tasks
        assert sandbox.runs == 2
        found = json.loads(artifact(tmp_path, QUEUES, "test_comparison.json"))
        assert found["fixed"] == ["tests.test_notes::test_titled"]
        policy = bench.services.content.gate_policy.tests
        base = await bench.services.repository.resolve("HEAD")
        assert policy is not None and bench.services.suites is not None
        again = await bench.services.suites.base(policy, base, reruns=0)
        assert again[0].report is not None and sandbox.runs == 2


async def test_a_test_that_covers_nothing_denies(tmp_path: Path) -> None:
    """A task cannot claim a test that passes without the change."""
    async with suite_night(tmp_path, SOUND) as (bench, _):
        summary = await bench.work([task(QUEUES, covers=["tests.test_notes::test_sound"])])
        assert summary.outcomes == {"denied": 1}
    assert "does not fail without it: tests.test_notes::test_sound" in summary.tasks[0].cause


async def test_a_flaky_test_is_told_apart(tmp_path: Path) -> None:
    """A test that fails on the change and, rerun, also on the base is flaky: named, and no reason to deny."""
    tests = SOUND + "import os\n\ndef test_moody():\n    assert os.environ['RUN'] == '2'\n"
    async with suite_night(tmp_path, tests) as (bench, sandbox):
        summary = await bench.work([task(QUEUES)])
        assert summary.outcomes == {"accepted": 1}, summary.tasks
        assert sandbox.runs == 4
    found = json.loads(artifact(tmp_path, QUEUES, "test_comparison.json"))
    assert found["flaky"] == ["tests.test_notes::test_moody"]
    assert found["introduced"] == []


async def test_a_hanging_suite_fails_its_task_only(tmp_path: Path) -> None:
    """A change that makes the tests hang times out with its evidence, and the night goes on with the others."""
    tests = SOUND + (
        "import time\n\ndef test_slow():\n    print('before the hang', flush=True)\n"
        "    while any('dead-letter-queues' in p.name for p in Path('docs').iterdir()):\n        time.sleep(1)\n"
    )
    async with suite_night(tmp_path, tests, wall_s=12) as (bench, _):
        async with asyncio.timeout(59):
            summary = await bench.work([task(QUEUES), task(LAG)])
    causes = {one.key.partition("/")[2]: one.cause for one in summary.tasks}
    assert summary.outcomes == {"failed": 1, "accepted": 1}, causes
    assert causes["2026.01.01"] == "tests: tests: the tests did not end within 12 s and were killed"
    left = json.loads(artifact(tmp_path, QUEUES, "test_report.json"))["runs"][0]
    assert left["tests"] is None and left["problem"].startswith("the tests did not end")
