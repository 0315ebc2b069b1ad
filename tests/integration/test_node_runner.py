"""node's own test runner, for real, in the sandbox: its report is read, and a new test is held against the old code."""

import shutil
from pathlib import Path

import pytest

from pantheon.adapters.base_runs import BaseRunFolder
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.git.repository import NightRepository
from pantheon.adapters.sandbox.bubblewrap import open_bubblewrap
from pantheon.core.suite import SuitePolicy
from pantheon.core.test_comparison import Claims, Comparison, compare_suites
from pantheon.engine.suite_runner import SuiteRunner
from pantheon.testing.user_repository import git, make_repository

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")

POLICY = SuitePolicy(command=("node", "--test", "--test-reporter=tap"), report="tap", wall_s=60)
OLD = (
    b"import test from 'node:test';\nimport assert from 'node:assert';\nimport {one} from './lib.mjs';\n"
    + (b"test('one', () => assert.equal(one(), 1));\n")
)
COVERING = OLD.replace(b"{one}", b"{two}").replace(
    b"'one', () => assert.equal(one(), 1)", b"'two', () => two()"
)
IDLE = b"import test from 'node:test';\ntest('idle', () => {});\n"


async def judge(tmp_path: Path, files: dict[str, bytes]) -> Comparison:
    """Compare a repository with itself plus the files."""
    root = make_repository(
        tmp_path / "user", {"lib.mjs": b"export const one = () => 1;\n", "old.test.mjs": OLD}
    )
    base = git(root, "rev-parse", "HEAD").strip()
    for path, data in files.items():
        (root / path).write_bytes(data)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "change")
    head = git(root, "rev-parse", "HEAD").strip()
    clock = SystemClock()
    repository = await NightRepository.open(root, tmp_path / "state", trees=1, clock=clock)
    runner = SuiteRunner(repository, open_bubblewrap(clock), "0" * 64, BaseRunFolder(tmp_path / "base_runs"))
    brought = {path: data for path, data in files.items() if ".test." in path}
    runs = [
        await runner.run(POLICY, base),
        await runner.run(POLICY, head),
        await runner.run(POLICY, base, brought),
    ]
    assert [run.problem for run in runs] == ["", "", ""], runs
    return compare_suites(
        runs[0].report,
        runs[1].report,
        crossed=runs[2].report,
        claims=Claims(new_tests=True, files=tuple(brought)),
    )


async def test_a_new_test_of_new_code_covers_it(tmp_path: Path) -> None:
    """On the old code its file cannot be loaded, which node numbers out of place and names by its path."""
    lib = b"export const one = () => 1;\nexport const two = () => 2;\n"
    found = await judge(tmp_path, {"lib.mjs": lib, "new.test.mjs": COVERING})
    assert (found.new, found.reasons) == (("two",), ())


async def test_a_new_test_of_nothing_does_not(tmp_path: Path) -> None:
    """It passes on the old code as well."""
    found = await judge(tmp_path, {"new.test.mjs": IDLE})
    assert found.uncovering == ("idle",)


async def test_what_a_change_breaks_is_introduced(tmp_path: Path) -> None:
    """By the test's own name."""
    assert (await judge(tmp_path, {"lib.mjs": b"export const one = () => 2;\n"})).introduced == ("one",)
