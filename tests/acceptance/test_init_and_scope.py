"""``pantheon init`` and ``pantheon scope`` in a real repository."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from pantheon.core.task import Task
from pantheon.shell.cli.app import run


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    (root / "docs" / "deep").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / "docs" / "2026.01.02.md").write_text("one")
    (root / "docs" / "deep" / "two words.md").write_text("two")
    (root / "top.md").write_text("top")
    return root


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in root.rglob("*") if p.is_file() and ".git" not in p.parts}


def scope(repo: Path, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[list[Task], str]:
    assert run(["-C", str(repo), "scope", *args]) == 0
    said = capsys.readouterr()
    return [Task.model_validate_json(line) for line in said.out.splitlines()], said.err


def test_lays_out_and_is_idempotent(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second time nothing is created and nothing is changed."""
    assert run(["-C", str(repo), "init"]) == 0
    for path in ("pantheon.toml", "policies/night.toml", "queue", "artifacts", ".pantheon"):
        assert (repo / path).exists(), path
    before = snapshot(repo)
    capsys.readouterr()
    assert run(["-C", str(repo), "init", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {file["placement"] for file in report["files"]} == {"kept"}
    assert snapshot(repo) == before


def test_state_and_artifacts_ignore_themselves(repo: Path) -> None:
    """What a night leaves never shows in git status."""
    run(["-C", str(repo), "init"])
    (repo / "artifacts" / "x").write_text("x")
    (repo / ".pantheon" / "x").write_text("x")
    shown = subprocess.run(
        ["git", "-C", str(repo), "status", "--short", "-uall"], check=True, capture_output=True, text=True
    ).stdout
    assert "artifacts" not in shown
    assert ".pantheon" not in shown
    assert (repo / ".pantheon").stat().st_mode & 0o077 == 0


def test_never_replaces_a_file(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An edited file is kept and named; the exit code stays 0."""
    run(["-C", str(repo), "init"])
    (repo / "policies" / "gate.toml").write_text("max_files = 3\n")
    (repo / "pantheon.toml").write_text("[night]\nlease_s = 60\n")
    (repo / "policies" / "slo.toml").unlink()
    capsys.readouterr()
    assert run(["-C", str(repo), "init"]) == 0
    said = capsys.readouterr()
    assert "policies/gate.toml differs" in said.err
    assert "pantheon.toml differs" not in said.err
    assert said.out == "created\tpolicies/slo.toml\n"
    assert (repo / "policies" / "gate.toml").read_text() == "max_files = 3\n"


def test_dry_run_writes_nothing(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run names what would be created."""
    before = snapshot(repo)
    assert run(["-C", str(repo), "init", "--dry-run"]) == 0
    assert "pantheon.toml" in capsys.readouterr().out
    assert snapshot(repo) == before
    assert not (repo / "queue").exists()


def test_from_a_subfolder_lays_out_at_the_top(repo: Path) -> None:
    """Targets are relative to the repository, so the layout is at its top."""
    assert run(["-C", str(repo / "docs" / "deep"), "init"]) == 0
    assert (repo / "pantheon.toml").is_file()


def test_needs_a_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Outside of git nothing is laid out."""
    assert run(["-C", str(tmp_path), "init"]) == 2
    assert "git" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["policies", "artifacts", "queue", ".pantheon"])
def test_writes_through_no_link(repo: Path, tmp_path: Path, name: str) -> None:
    """A committed symbolic link cannot send the layout elsewhere."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (repo / name).symlink_to(outside)
    assert run(["-C", str(repo), "init"]) == 2
    assert list(outside.iterdir()) == []


def test_a_link_in_place_of_a_file_is_refused(repo: Path, tmp_path: Path) -> None:
    """A link at a file's own place is named, not followed."""
    (repo / "pantheon.toml").symlink_to(tmp_path / "target.toml")
    assert run(["-C", str(repo), "init"]) == 2
    assert not (tmp_path / "target.toml").exists()


def test_custom_folders_are_respected(repo: Path) -> None:
    """An existing configuration says where things go."""
    (repo / "pantheon.toml").write_text("[folders]\npolicies = 'ops/policies'\n")
    assert run(["-C", str(repo), "init"]) == 0
    assert (repo / "ops" / "policies" / "gate.toml").is_file()
    assert not (repo / "policies").exists()


def test_scope_prints_valid_task_lines(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line is a task on one file, with its folder as package and an id from its path."""
    run(["-C", str(repo), "init"])
    capsys.readouterr()
    tasks, _ = scope(repo, capsys, "docops", "docs/**/*.md", "--accept", "has a title")
    assert [(task.id, task.package, task.targets) for task in tasks] == [
        ("docs-2026.01.02", "docs", ("docs/2026.01.02.md",)),
        ("docs-deep-two-words", "docs", ("docs/deep/two words.md",)),
    ]
    assert tasks[0].accept == ("has a title",)


def test_scope_names_what_it_leaves_out(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Links, odd names, ignored and Pantheon's own files are no targets, and none goes unsaid."""
    run(["-C", str(repo), "init"])
    (repo / "docs" / "link.md").symlink_to("2026.01.02.md")
    (repo / "docs" / "bad\nname.md").write_text("x")
    Path(os.fsdecode(bytes(repo / "docs") + b"/\xff.md")).write_text("x")
    (repo / ".gitignore").write_text("top.md\n")
    (repo / "queue" / "README.md").write_text("x")
    capsys.readouterr()
    tasks, said = scope(repo, capsys, "docops", "*.md", "--exclude", "deep/")
    assert [task.targets[0] for task in tasks] == ["docs/2026.01.02.md"]
    assert "docs/link.md: a symbolic link" in said
    assert "docs/bad\\u000aname.md: a path has no control character" in said
    assert "its name is not UTF-8" in said
    assert " files in Pantheon's own folders" in said


def test_scope_ids_are_unique_and_legal(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names that fold to the same id are told apart; long and foreign ones are legal."""
    run(["-C", str(repo), "init"])
    for name in ("a-b.md", "a b.md", "a_b.txt.md", "日本.md", "x" * 200 + ".md"):
        (repo / "docs" / name).write_text("x")
    capsys.readouterr()
    tasks, _ = scope(repo, capsys, "docops", "*.md", "--package", "notes")
    assert len({task.id for task in tasks}) == len(tasks) == 8
    assert {task.package for task in tasks} == {"notes"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("docops", "nope/*.md"), "no file matches"),
        (("refactor", "*.md"), "--goal"),
        (("No Kind", "*.md", "--goal", "x"), "kind"),
        (("docops",), "Missing argument"),
    ],
)
def test_scope_refuses_with_2(
    repo: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], said: str
) -> None:
    """Nothing found, no goal, no legal kind: exit 2, nothing on stdout."""
    run(["-C", str(repo), "init"])
    capsys.readouterr()
    assert run(["-C", str(repo), "scope", *args]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
