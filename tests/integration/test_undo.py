"""A landed change is taken back: on the night's branch alone, on the record, and so that anybody can verify it."""

import json
from pathlib import Path
from typing import Any

import pytest

from pantheon.shell.cli.app import run
from pantheon.testing.day import BRANCH, Morning, make_project_morning, open_morning

FIRST, SECOND = "2026.01.01", "2026.01.02"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Morning:
    return make_project_morning(tmp_path_factory.mktemp("morning"))


@pytest.fixture
def morning(made: Morning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Morning:
    return open_morning(made, tmp_path, monkeypatch)


def undo(morning: Morning, capsys: pytest.CaptureFixture[str], task: str, *more: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = run(["-C", str(morning.root), "undo", task, "--reason", "wrong\ntitle", "--json", *more])
    out, err = capsys.readouterr()
    return code, json.loads(out or err)


def verify(morning: Morning, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    capsys.readouterr()
    code = run(["verify", "--json", "--repository", str(morning.root), str(morning.artifacts)])
    return code, json.loads(capsys.readouterr().out)


def test_it_is_taken_out_of_the_branch(morning: Morning, capsys: pytest.CaptureFixture[str]) -> None:
    """Its files are as they were, the other change stays, nothing of the user's moved, and the night verifies."""
    before = morning.git("rev-parse", "main")
    code, said = undo(morning, capsys, FIRST)
    assert (code, said["result"], said["signed"]) == (0, "undone", True)
    assert morning.git("show", f"{BRANCH}:docs/2026.01.01.md") == morning.git(
        "show", "main:docs/2026.01.01.md"
    )
    assert morning.git("rev-parse", f"{BRANCH}") == said["undo"]
    assert morning.git("rev-parse", "main") == before
    assert morning.git("status", "--porcelain", "--untracked-files=no") == ""
    code, verdict = verify(morning, capsys)
    assert (code, verdict["sound"]) == (0, True)
    assert any("was taken back by" in note for note in verdict["nights"][0]["notes"])


def test_the_record_names_it_and_the_task_stays_accepted(
    morning: Morning, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the night decided stays; that it was taken back stands beside it, with the reason."""
    _, done = undo(morning, capsys, FIRST)
    for words in (["gate", "explain", FIRST], ["review", "show", FIRST, "--no-diff"], ["show", FIRST]):
        capsys.readouterr()
        assert run(["-C", str(morning.root), *words]) == 0
        out = capsys.readouterr().out
        assert "accepted" in out
        assert f"taken back by {done['undo'][:12]}" in out, words
        assert "wrong title" in out
    capsys.readouterr()
    assert run(["-C", str(morning.root), "status"]) == 0
    assert "1 taken back" in capsys.readouterr().out
    assert run(["-C", str(morning.root), "report", "--json"]) == 0
    report = json.loads(Path(json.loads(capsys.readouterr().out)["json"]).read_text())
    changes = [change for group in report["landed"] for change in group["changes"]]
    assert [bool(change["undone"]) for change in changes] == [True, False]
    assert "1 was taken back" in report["sentence"]


def test_what_a_real_night_landed_is_followed(morning: Morning, capsys: pytest.CaptureFixture[str]) -> None:
    """Open, then kept, by the agent that made it and the reviewers that passed it; one taken back is reverted."""

    def outcomes(*more: str) -> Any:
        capsys.readouterr()
        assert run(["-C", str(morning.root), "outcomes", "--json", *more]) == 0
        return json.loads(capsys.readouterr().out)

    assert [one["fate"] for one in outcomes()["changes"]] == ["open", "open"]
    undo(morning, capsys, SECOND)
    morning.git("merge", "-q", "--squash", BRANCH)
    morning.git("commit", "-q", "-m", "Catalogue (#12)")
    said = outcomes()
    assert [one["fate"] for one in said["changes"]] == ["kept", "reverted"]
    rows = {(row["role"], row["name"]): row["fates"] for row in said["tallies"]}
    assert set(rows) == {
        ("agent", "doc.frontmatter"),
        ("reviewer", "review.peerA"),
        ("reviewer", "review.peerB"),
    }
    assert all(row == {"kept": 1, "changed": 0, "reverted": 1, "open": 0} for row in rows.values())
    assert outcomes("--since", "2999-01-01")["changes"] == []
    assert len(outcomes("--since", "n1")["changes"]) == 2
    assert run(["-C", str(morning.root), "outcomes", "--since", "soon"]) == 2
    assert run(["-C", str(morning.root), "outcomes", "--branch", "none"]) == 2
