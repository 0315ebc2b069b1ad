"""The list of primitives that attack tests exercised is honest: it counts what passed, and it may not shrink."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PASSING = """
import pytest
@pytest.mark.primitive("{name}")
def test_it():
    pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    folder = tmp_path / "tests" / "attacks"
    folder.mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib --strict-markers\n")
    (tmp_path / "tests" / "conftest.py").write_text('pytest_plugins = ["pantheon.testing.capabilities"]\n')
    (folder / "capabilities.json").write_text(json.dumps({"primitives": ["bwrap", "netns"]}))
    (folder / "test_one.py").write_text(PASSING.format(name="bwrap"))
    (folder / "test_two.py").write_text(PASSING.format(name="netns"))
    return tmp_path


def run(suite: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=suite, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "workers"])
def test_a_whole_run_prints_what_it_exercised(suite: Path, options: tuple[str, ...]) -> None:
    """Every primitive is in the summary with the number of tests that passed."""
    status, said = run(suite, *options)
    assert status == 0, said
    assert '"bwrap": 1' in said and '"netns": 1' in said


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "workers"])
def test_a_list_that_shrinks_fails_the_run(suite: Path, options: tuple[str, ...]) -> None:
    """A declared primitive that no test exercises any more is a failure, though every test passed."""
    (suite / "tests" / "attacks" / "test_two.py").write_text(PASSING.format(name="bwrap"))
    status, said = run(suite, *options)
    assert status == 1 and "no test exercised it: netns" in said, said


def test_an_undeclared_primitive_fails_the_run(suite: Path) -> None:
    """What is exercised is declared, so that it cannot get lost unseen later."""
    (suite / "tests" / "attacks" / "test_three.py").write_text(PASSING.format(name="new"))
    status, said = run(suite)
    assert status == 1 and "not declared in capabilities.json: new" in said, said


def test_a_skip_is_a_failure(suite: Path) -> None:
    """A test that steps aside because something is missing does not pass."""
    (suite / "tests" / "attacks" / "test_three.py").write_text(
        "import pytest\ndef test_it():\n    pytest.skip('no bwrap here')\n"
    )
    status, said = run(suite)
    assert status == 1 and "may not skip" in said, said


def test_a_part_of_the_suite_may_run_alone(suite: Path) -> None:
    """One file is no whole run: nothing is said to be lost."""
    status, said = run(suite, "tests/attacks/test_one.py")
    assert status == 0, said
