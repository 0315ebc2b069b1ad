"""Repositories that a night must not work in: lost state, another user's, read-only, bare, none at all."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pantheon.core.errors import PreflightError
from pantheon.core.policy import NightPolicy
from pantheon.shell import wiring
from pantheon.shell.config import find_user_paths, load_project
from pantheon.shell.repository_checks import exposed_problems, refuse_repository, repository_problems
from pantheon.shell.wiring import load_policies
from pantheon.testing.user_repository import make_repository

PANTHEON = (sys.executable, "-m", "pantheon")
TASK = '{"id":"a","kind":"docops","goal":"Give the note a title","targets":["docs/a.md"]}\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = make_repository(tmp_path / "user", {"docs/a.md": b"text\n"})
    assert call(made, "init").returncode == 0
    return made


def variables(root: Path) -> Mapping[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(root.parent), "LC_ALL": "C.UTF-8"}


def call(
    folder: Path, *words: str, before: tuple[str, ...] = (), text: str = ""
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*before, *PANTHEON, *words], cwd=folder, env=variables(folder), input=text, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def test_a_night_whose_state_is_gone_says_so(root: Path) -> None:
    """What happened, what it means for the batches, and both ways on; ``status`` names the batches that wait."""
    assert list(repository_problems(load_project(root))) == [], "the control"
    batch = json.loads(call(root, "enqueue", "-", "--json", text=TASK).stdout)["batch"]
    shutil.rmtree(root / ".pantheon")
    done = call(root, "night")
    assert done.returncode == 3
    assert ".pantheon is gone, and with it what earlier nights did with the 1 batch in queue/" in done.stderr
    assert "init" in done.stderr and "backup" in done.stderr
    assert not (root / ".pantheon").exists()
    status = call(root, "status")
    assert status.returncode == 0
    assert batch in status.stdout and "Nothing waits" not in status.stdout
    assert json.loads(call(root, "status", "--json").stdout)["unread"] == [batch]
    assert call(root, "init").returncode == 0
    assert list(repository_problems(load_project(root))) == []


def test_root_in_another_users_repository_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner is named, and the command that runs the night as him; in one's own nothing is wrong (the control)."""
    project = load_project(root)
    user = find_user_paths()
    refuse_repository(project, user)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    if os.getuid() == 0:
        os.chown(root / ".git", 60_324, 60_324)
    with pytest.raises(PreflightError, match=r"belongs to .* and root would leave") as caught:
        refuse_repository(project, user)
    assert "sudo -u" in caught.value.hint


def test_a_git_folder_that_cannot_be_written_is_refused_first(root: Path) -> None:
    """Before a model is looked for: the folder and what to do; nothing was started."""
    lock = 'mount --bind .git .git && mount -o remount,ro,bind .git && exec "$@"'
    done = call(root, "night", before=("unshare", "-rm", "sh", "-c", lock, "sh"))
    assert done.returncode == 3
    assert f"git's folder cannot be written, so no branch could be made: {root}/.git" in done.stderr
    assert {path.name for path in (root / ".pantheon").iterdir()} == {".gitignore"}


def test_code_of_the_repository_is_shown_no_secret(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys, witness, state, git's folder and the home folder: named, inside, above or behind a link; a venv is fine."""
    home = tmp_path / "home"
    (home / ".venv").mkdir(parents=True)
    (home / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (root / "link").symlink_to(home / ".config")
    project, user = load_project(root), find_user_paths()
    policies = load_policies(project)

    def told(path: Path) -> str:
        # A policy file cannot name what lies below /tmp, where this test has its folders.
        night = NightPolicy.model_construct(sandbox_reads=(str(path),))
        monkeypatch.setattr(wiring, "load_policies", lambda _: replace(policies, night=night))
        return " ".join(why for why, _ in exposed_problems(project, user))

    for fine in (home / ".venv", root / ".venv", root / "docs", home / ".cache" / "x", Path("/opt/python")):
        assert told(fine) == "", "the control"
        refuse_repository(project, user)
    for shown, what in (
        (home, "keys"), (home / ".config", "key"), (user.keys, "the key that signs"), (user.signing_key, "the key"),
        (user.witness, "the witness"), (home / ".ssh" / "id", "keys of this user"), (root, "night"),
        (root / ".git", "git's folder"), (project.database, "database"), (root / "artifacts", "evidence"),
        (root / "link", "key"),
    ):  # fmt: skip
        said = told(shown)
        assert f"sandbox_reads: {shown} would show" in said
        assert what in said
        with pytest.raises(PreflightError, match="would show code of the repository"):
            refuse_repository(project, user)


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path, root: Path) -> None:
    """A wrong ``-C``, a file, and a current folder that was deleted meanwhile: exit code 2, and no traceback."""
    for place in (tmp_path / "none", root / "pantheon.toml"):
        done = call(tmp_path, "-C", str(place), "status")
        assert (done.returncode, f"-C {place}: there is no such folder" in done.stderr) == (2, True), (
            done.stderr
        )
    leave = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    for word in ("status", "init"):
        done = call(tmp_path, word, before=("sh", "-c", leave, "sh"))
        assert done.returncode == 2
        assert "the current folder: there is no such folder" in done.stderr


def test_a_file_in_the_place_of_a_folder_is_named(root: Path) -> None:
    """Queue, state or policies: which one, exit code 2; and a configuration without end is not read to its end."""
    for name in ("queue", ".pantheon", "policies"):
        (root / name).rename(root / "aside")
        (root / name).write_text("x")
        done = call(root, "status")
        assert (done.returncode, f"{root / name} is not a folder" in done.stderr) == (2, True), done.stderr
        (root / name).unlink()
        (root / "aside").rename(root / name)
    os.truncate(root / "pantheon.toml", 1 << 40)
    done = call(root, "status")
    assert (done.returncode, "larger than" in done.stderr) == (2, True), done.stderr


def test_init_outside_a_repository_is_the_callers_to_mend(tmp_path: Path) -> None:
    """Exit code 2; in a bare repository nobody is told to make one there."""
    (tmp_path / "plain").mkdir()
    plain = call(tmp_path / "plain", "init")
    assert (plain.returncode, plain.stdout) == (2, "")
    assert "not in a git repository" in plain.stderr and "git -C" in plain.stderr
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "bare.git")], check=True)
    for place in (tmp_path / "bare.git", tmp_path / "bare.git" / "refs"):
        bare = call(place, "init")
        assert bare.returncode == 2
        assert "is a bare repository" in bare.stderr and "git clone" in bare.stderr
        assert "git -C" not in bare.stderr


def test_gits_own_folder_belongs_to_its_work_tree(root: Path) -> None:
    """Started inside ``.git``, the repository around it is meant."""
    done = call(root / ".git", "init")
    assert done.returncode == 0
    assert not (root / ".git" / "agents").exists()
