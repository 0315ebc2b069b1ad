"""A night is published: by package, onto branches of its own, by day, after a look and a yes."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pantheon.shell.cli.app import run
from pantheon.testing.day import NIGHT, Morning, add_remote, make_project_morning, open_morning

FIRST = "2026.01.01"
BRANCHES = [f"pantheon/publish-{NIGHT}/alpha", f"pantheon/publish-{NIGHT}/beta"]
FAKE = """#!/bin/sh
printf '%s\\n' "$@" >> "{log}"
echo "---" >> "{log}"
[ -e "{log}.fails" ] && echo 'a pull request for branch "x" already exists: https://forge.invalid/pr/7' >&2 && exit 1
echo "https://forge.invalid/pr/$(grep -c -- --- "{log}")"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Morning:
    return make_project_morning(tmp_path_factory.mktemp("morning"))


@pytest.fixture
def morning(made: Morning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Morning:
    """A copy with a bare remote beside it, a hook that tells on itself, and fake forge programs on the PATH."""
    there = open_morning(made, tmp_path, monkeypatch)
    add_remote(there, tmp_path / "remote.git")
    hook = there.root / ".git" / "hooks" / "pre-push"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hook-ran\n")
    hook.chmod(0o755)
    (tmp_path / "bin").mkdir()
    for name in ("gh", "glab"):
        (tmp_path / "bin" / name).write_text(FAKE.format(log=tmp_path / f"{name}.log"))
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return there


def publish(morning: Morning, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = run(["-C", str(morning.root), "publish", "--json", *words])
    out, err = capsys.readouterr()
    return code, json.loads(out or err)


def remote_branches(tmp_path: Path) -> list[str]:
    said = subprocess.run(
        ["git", "-C", str(tmp_path / "remote.git"), "for-each-ref", "--format=%(refname:short)"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return sorted(said.stdout.split())


def test_without_a_word_it_only_tells(
    morning: Morning, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What it would make, by package; no branch, no folder, no push, no event."""
    before = morning.git("for-each-ref")
    code, said = publish(morning, capsys)
    assert (code, said["to"]) == (0, None)
    assert [one["branch"] for one in said["requests"]] == BRANCHES
    assert [one["packages"] for one in said["requests"]] == [["alpha"], ["beta"]]
    assert said["requests"][0]["title"] == "docops: Retries versus Dead Letter Queues for Orders"
    assert morning.git("for-each-ref") == before
    assert remote_branches(tmp_path) == ["main"]
    assert not (morning.root / ".pantheon" / "publish").exists()


@pytest.mark.parametrize("to", ["gh", "glab"])
def test_it_pushes_a_branch_for_each_group(
    morning: Morning, capsys: pytest.CaptureFixture[str], tmp_path: Path, to: str
) -> None:
    """Each branch holds its own package's change, the forge gets title and text, and a second time is no other."""
    head, status = morning.git("rev-parse", "HEAD"), morning.git("status", "--porcelain")
    code, said = publish(morning, capsys, "--to", to, "--yes")
    assert code == 0, said
    assert [one["where"] for one in said["requests"]] == [f"https://forge.invalid/pr/{n}" for n in (1, 2)]
    assert remote_branches(tmp_path) == ["main", *BRANCHES]
    for branch, mine, other in zip(BRANCHES, (FIRST, "2026.01.02"), ("2026.01.02", FIRST), strict=True):
        changed = morning.git("diff", "--name-only", "--no-renames", "main", branch).split()
        assert f"docs/{mine}.md" in changed
        assert f"docs/{other}.md" not in changed
        assert f"Pantheon-Task: {morning.keys[0][:12]}/{mine}" in morning.git(
            "log", "-1", "--format=%B", branch
        )
    called = (tmp_path / f"{to}.log").read_text()
    assert called.count("docops: Retries versus Dead Letter Queues for Orders") >= 1
    assert "main" in called
    if to == "glab":
        assert "review.peerA 2: pass, margin +" in called
        assert "# docops" not in called, "the title is not said twice"
    assert not (tmp_path / "hook-ran").exists(), "no hook of the repository runs"
    assert (morning.git("rev-parse", "HEAD"), morning.git("status", "--porcelain")) == (head, status)
    (tmp_path / f"{to}.log.fails").touch()
    code, again = publish(morning, capsys, "--to", to, "--yes")
    assert code == 0, again
    assert [one["head"] for one in again["requests"]] == [one["head"] for one in said["requests"]]
    assert {one["where"] for one in again["requests"]} == {"https://forge.invalid/pr/7"}


def test_nobody_there_means_nothing_is_pushed(
    morning: Morning, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without a terminal and without --yes it refuses, and leaves nothing behind."""
    code, said = publish(morning, capsys, "--to", "gh")
    assert (code, said["error"]["code"]) == (2, "config")
    assert remote_branches(tmp_path) == ["main"]
    assert morning.git("branch", "--list", "pantheon/publish*") == ""


@pytest.mark.parametrize("to", ["bundle", "gh"])
def test_a_bundle_holds_all_of_it(
    morning: Morning,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    to: str,
) -> None:
    """Also where gh is not there: a bundle that git takes, patches that apply, a text a group; nothing is pushed."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    code, said = publish(morning, capsys, "--to", to, "--out", str(tmp_path / "out"))
    assert (code, said["to"]) == (0, "bundle")
    assert bool(said["remark"]) == (to == "gh")
    folders = sorted(one.name for one in (tmp_path / "out").iterdir() if one.is_dir())
    assert folders == ["01-alpha", "02-beta"]
    assert (tmp_path / "out" / "01-alpha" / "pull-request.md").read_text().startswith("# docops: Retries")
    subprocess.run(["git", "clone", "-q", str(tmp_path / "remote.git"), str(tmp_path / "clone")], check=True)
    clone = replace(morning, root=tmp_path / "clone")
    clone.git("fetch", "-q", str(tmp_path / "out" / "pull-requests.bundle"), f"{BRANCHES[0]}:got")
    (patch,) = (tmp_path / "out" / "01-alpha").glob("*.patch")
    clone.git("switch", "-q", "-c", "applied", "origin/main")
    clone.git("am", "-q", str(patch))
    assert clone.git("rev-parse", "applied^{tree}") == clone.git("rev-parse", "got^{tree}")
    assert remote_branches(tmp_path) == ["main"]
    code, refused = publish(morning, capsys, "--to", "bundle", "--out", str(tmp_path / "out"))
    assert (code, refused["error"]["code"]) == (2, "config"), "nothing is ever replaced"


def test_what_was_taken_back_is_left_out(morning: Morning, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the change nor the commit that took it back."""
    assert run(["-C", str(morning.root), "undo", FIRST, "--reason", "no"]) == 0
    code, said = publish(morning, capsys)
    assert (code, [one["branch"] for one in said["requests"]]) == (0, BRANCHES[1:])


def test_what_is_published_is_taken_back_by_hand(
    morning: Morning, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once a change is on a branch of its pull request, undo tells the command and moves nothing."""
    assert publish(morning, capsys, "--to", "gh", "--yes")[0] == 0
    before = morning.git("for-each-ref", "refs/heads")
    capsys.readouterr()
    assert run(["-C", str(morning.root), "undo", FIRST, "--reason", "no"]) == 1
    assert f"git switch {BRANCHES[0]} && git revert" in capsys.readouterr().out
    assert morning.git("for-each-ref", "refs/heads") == before


def test_one_request_for_all(morning: Morning, capsys: pytest.CaptureFixture[str]) -> None:
    """Where somebody wants it as one."""
    _, said = publish(morning, capsys, "--one")
    assert [len(one["tasks"]) for one in said["requests"]] == [2]
    assert said["requests"][0]["title"] == "alpha, beta: 2 changes of night n1"
