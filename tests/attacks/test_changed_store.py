"""A database that somebody changed: whoever asks is answered or told so, and no path in it leads anywhere."""

import asyncio
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from pantheon.shell.cli.app import run
from pantheon.shell.config import load_project
from pantheon.shell.wiring import lay_out_repository
from pantheon.testing.sample_project import play_night
from pantheon.testing.user_repository import git, make_repository

ASKED = {
    "status": ["status"],
    "show": ["show", "note-0000"],
    "show as JSON": ["show", "--json", "note-0000"],
    "gate explain": ["gate", "explain", "note-0000"],
    "review show": ["review", "show", "note-0000"],
    "report": ["report"],
    "outcomes": ["outcomes"],
    "publish": ["publish", "--to", "bundle", "--yes"],
    "undo": ["undo", "note-0000", "--reason", "r"],
    "capacity": ["capacity"],
    "requeue": ["requeue", "--failed", "--reason", "r"],
}
DEEP, LONG = "[" * 100_000, "9" * 5_000
OUTSIDE = "../../../../outside"
CHANGED = (
    *((place, value) for place in ("nights.summary", "attempts.metrics", "nodes.needs", "tasks.line")
      for value in (DEEP, LONG, "null", "[]", "")),
    *((place, value) for place in ("attempts.started_at", "attempts.ended_at", "nights.started_at")
      for value in ("2026-01-01", "never", "9999-12-31T23:59:59+00:00")),
    *((place, OUTSIDE) for place in ("nights.id", "nights.branch", "attempts.artifacts", "tasks.package", "nodes.node",
      "nodes.output_commit")),
    ("nights.base_commit", "--output=outside"),
    ("nights.branch", "--upload-pack=touch outside"),
    ("attempts.artifacts", "/etc"),
    ("attempts.metrics", '{"agent": "a@1", "output": [1], "calls": "x", "prompt_tokens": 1e999}'),
    ("attempts.metrics", '{"agent": ["a"], "output": {"verdict": "pass", "margin": "x", "commit": ["c"]}}'),
)  # fmt: skip


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a repository after a night."""
    top = tmp_path_factory.mktemp("changed")
    root = make_repository(top / "user", {"docs/a.md": b"a note\n"})
    lay_out_repository(root, {}, dry_run=False)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "laid out")
    project = load_project(root)
    asyncio.run(play_night(project.database, project.artifacts, 4))
    return top


def answers(root: Path, capfd: pytest.CaptureFixture[str]) -> dict[str, tuple[int, str]]:
    """Ask everything; returns the exit code and what was complained of."""
    found = {}
    for name, words in ASKED.items():
        capfd.readouterr()
        code = run(["-C", str(root), *words])
        found[name] = code, capfd.readouterr().err
    return found


def test_control_what_was_not_changed_is_answered(
    night: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever only reads is told of the night."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    shutil.copytree(night, tmp_path / "copy", symlinks=True)
    found = answers(tmp_path / "copy" / "user", capfd)
    assert [found[name][0] for name in ("status", "show", "gate explain", "review show", "report")] == [0] * 5


@pytest.mark.parametrize(
    ("place", "value"), CHANGED, ids=[f"{place} {value[:24]}" for place, value in CHANGED]
)
def test_a_changed_row_is_an_answer_or_an_error_of_ours(
    night: Path, tmp_path: Path, place: str, value: str, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """No command breaks down, hangs, or makes or changes a file outside of the project."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(night, copy, symlinks=True)
    table, column = place.split(".")
    with closing(sqlite3.connect(load_project(copy / "user").database)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        assert connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid > 0", (value,)).rowcount > 0
    began = time.monotonic()
    for name, (code, complained) in answers(copy / "user", capfd).items():
        assert code in (0, 1, 2, 3, 4), name
        assert "bug in Pantheon" not in complained, name
    assert time.monotonic() - began < 20
    assert sorted(os.listdir(tmp_path)) == ["copy"] and os.listdir(copy) == ["user"]
