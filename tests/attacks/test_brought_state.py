"""Attacks by a repository that brings ``.pantheon`` with it: what earlier nights remember, written by somebody else."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pantheon.core.errors import PreflightError
from pantheon.core.qualification import QUALIFICATIONS_FILE
from pantheon.shell.config import load_project
from pantheon.shell.repository_checks import refuse_brought_state, repository_problems
from pantheon.shell.wiring import lay_out_repository
from pantheon.testing.qualified import qualify_project
from pantheon.testing.user_repository import git, make_repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with everything that ``init`` lays out, committed."""
    root = make_repository(tmp_path / "user", {"docs/a.md": b"a note\n"})
    lay_out_repository(root, {}, dry_run=False)
    commit(root)
    return root


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "-c", "user.name=M", "-c", "user.email=m@localhost", "commit", "-q", "-m", "laid out")


def forced(root: Path, path: str) -> None:
    git(root, "add", "-f", path)
    commit(root)


def clone_of(root: Path) -> Path:
    """Return what somebody has who clones the repository: nothing but what is tracked."""
    made = root.parent / "clone"
    git(root, "clone", "-q", str(root), str(made))
    (made / ".pantheon").mkdir(exist_ok=True)
    return made


def settings(root: Path) -> None:
    git(root, "init", "-q", "--bare", "--template=", ".pantheon/git")
    with (root / ".pantheon/git/config").open("a") as file:
        file.write("[core]\n\tbigFileThreshold = 1\n")
    (root / ".pantheon/git/refs/keep").write_text("")
    forced(root, ".pantheon/git")


def log(root: Path) -> None:
    (root / ".pantheon/logs").mkdir()
    (root / ".pantheon/logs/signer.log").symlink_to("../../../outside")
    forced(root, ".pantheon/logs/signer.log")


def reviewers(root: Path) -> None:
    qualify_project(root)
    forced(root, f".pantheon/{QUALIFICATIONS_FILE}")


def folder(root: Path) -> None:
    (root / "docs/state").mkdir()
    (root / "docs/state/x").write_text("")
    (root / "elsewhere").symlink_to("docs")
    text = (root / "pantheon.toml").read_text()
    assert 'state = ".pantheon"' in text
    (root / "pantheon.toml").write_text(text.replace('state = ".pantheon"', 'state = "elsewhere/state"'))
    commit(root)


def test_control_what_is_tracked_comes_with_a_clone_and_is_believed(root: Path) -> None:
    """A link in a log's place is followed by who opens it, and invented reviewers are qualified in the clone."""
    log(root)
    reviewers(root)
    clone = clone_of(root)
    with (clone / ".pantheon/logs/signer.log").open("ab") as file:
        file.write(b"x")
    assert (clone.parent / "outside").read_bytes() == b"x"
    assert (clone / ".pantheon" / QUALIFICATIONS_FILE).read_bytes()


def test_control_a_clone_without_it_is_well(root: Path) -> None:
    """What ``init`` lays out ignores itself."""
    project = load_project(clone_of(root))
    assert list(repository_problems(project)) == []
    refuse_brought_state(project)


@pytest.mark.parametrize("brought", [settings, log, reviewers, folder])
def test_what_a_repository_brings_is_not_believed(root: Path, brought: Callable[[Path], None]) -> None:
    """Git's settings, links in the place of logs, qualifications, another folder behind a link: named and refused."""
    brought(root)
    clone = clone_of(root)
    with pytest.raises(PreflightError, match="the repository brings what only this machine's nights may"):
        refuse_brought_state(load_project(clone))
    assert len(list(repository_problems(load_project(clone)))) == 1, "the night and the doctor ask this"


@pytest.mark.parametrize("words", [("night",), ("server", "start", "--detach")])
def test_nothing_is_started_over_it(root: Path, words: tuple[str, ...]) -> None:
    """Exit code 3, before a file of the state is opened."""
    log(root)
    clone = clone_of(root)
    keys = {"endpoint.kind": "openai", "endpoint.uds": str(clone.parent / "s"), "vllm.model": "."}
    sets = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    done = subprocess.run(
        [sys.executable, "-m", "pantheon", "-C", str(clone), *sets, *words],
        env={"PATH": "/usr/bin:/bin", "HOME": str(root.parent)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, "signer.log" in done.stderr) == (3, True), json.dumps(done.stderr)
    assert not (clone.parent / "outside").exists()
