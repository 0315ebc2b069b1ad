"""Publishing under attack: at night, from what was tampered with, over a branch in the way, through options."""

import asyncio
import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.forge import CliForge
from pantheon.adapters.store import hold_night
from pantheon.core.canaries import Standing
from pantheon.core.errors import GitError
from pantheon.shell.cli.app import run
from pantheon.shell.environment import CONTAINED, environment
from pantheon.testing.day import BRANCH, Morning, add_remote, make_project_morning, open_morning

pytestmark = pytest.mark.primitive("git")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Morning:
    return make_project_morning(tmp_path_factory.mktemp("morning"))


@pytest.fixture
def morning(made: Morning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Morning:
    there = open_morning(made, tmp_path, monkeypatch)
    add_remote(there, tmp_path / "remote.git")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gh").write_text("#!/bin/sh\necho https://forge.invalid/1\n")
    (tmp_path / "bin" / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return there


def publish(morning: Morning, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = run(["-C", str(morning.root), "publish", "--to", "gh", "--yes", "--json", *words])
    out, err = capsys.readouterr()
    return code, json.loads(out or err)


def pushed(tmp_path: Path) -> list[str]:
    said = subprocess.run(
        ["git", "-C", str(tmp_path / "remote.git"), "for-each-ref", "--format=%(refname:short)"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [one for one in said.stdout.split() if one != "main"]


def test_the_control_it_is_pushed(
    morning: Morning, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The control: by day, from a sound night, both branches are pushed."""
    assert publish(morning, capsys)[0] == 0
    assert len(pushed(tmp_path)) == 2


def test_nothing_is_pushed_at_night(
    morning: Morning, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither inside of a night's containment nor beside a night that runs."""
    monkeypatch.setenv(CONTAINED, "4026531840")
    assert publish(morning, capsys)[0] == 3
    monkeypatch.delenv(CONTAINED)

    async def beside() -> tuple[int, Any]:
        async with hold_night(morning.root / ".pantheon" / "pantheon.db", SystemClock()):
            return await asyncio.to_thread(publish, morning, capsys)

    code, said = asyncio.run(beside())
    assert (code, said["error"]["code"]) == (3, "preflight")
    assert "a night runs" in said["error"]["message"]
    assert pushed(tmp_path) == []


def smuggle(morning: Morning) -> None:
    """A commit of somebody's on the night's branch, with the night's trailers."""
    made = morning.git(
        "commit-tree",
        "main^{tree}",
        "-p",
        BRANCH,
        "-m",
        "docops: x\n\nPantheon-Task: b/x\nPantheon-Night: n1",
    )
    morning.git("update-ref", f"refs/heads/{BRANCH}", made)


def cut_off(morning: Morning) -> None:
    """A branch without its last commit."""
    morning.git("update-ref", f"refs/heads/{BRANCH}", f"{BRANCH}~1")


def forge_review(morning: Morning) -> None:
    """An artifact of a reviewer that somebody changed."""
    place = next(morning.artifacts.glob("*/review.peerA/001/review.json"))
    place.chmod(0o644)
    place.write_bytes(place.read_bytes().replace(b"pass", b"PASS"))


def forget(morning: Morning) -> None:
    """No ledger at all."""
    (morning.artifacts / "ledger.jsonl").unlink()


@pytest.mark.parametrize("tamper", [smuggle, cut_off, forge_review, forget])
def test_what_does_not_verify_is_not_published(
    morning: Morning,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    tamper: Callable[[Morning], None],
) -> None:
    """A branch with more, with less, or with other evidence than the night signed for."""
    tamper(morning)
    code, said = publish(morning, capsys)
    assert code in (2, 3), said
    assert pushed(tmp_path) == []
    assert morning.git("branch", "--list", "pantheon/publish*") == ""


def test_a_strangers_key_publishes_nothing(
    morning: Morning, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A night that stands on another key than the one that is trusted."""
    other = tmp_path / "other.pem"
    private = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(tmp_path / "k.pem")]
    subprocess.run(private, check=True, capture_output=True)
    subprocess.run(
        ["openssl", "pkey", "-in", str(tmp_path / "k.pem"), "-pubout", "-out", str(other)], check=True
    )
    assert publish(morning, capsys, "--key", str(other))[0] == 3
    assert pushed(tmp_path) == []


def test_commits_that_nobody_pushed_are_not_published_along(
    morning: Morning, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A night that began on top of the user's own, private commits."""
    first = morning.git("commit-tree", "main^{tree}", "-m", "what the remote has")
    morning.git("push", "-q", "--force", "origin", f"{first}:refs/heads/main")
    code, said = publish(morning, capsys)
    assert (code, said["error"]["code"]) == (3, "preflight")
    assert "would publish commits of yours" in said["error"]["message"]
    assert pushed(tmp_path) == []


def test_what_rests_on_a_disqualified_reviewer_is_not_published(
    morning: Morning, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing of it, until it is taken back or somebody says why; the reason is kept."""

    caught = Standing(reviewer="review.peerA", measured=5, accepted=5, missed=0, minimum=5, disqualified=True)
    with closing(sqlite3.connect(morning.root / ".pantheon" / "pantheon.db")) as store, store:
        summary = json.dumps({"canaries": [caught.model_dump(mode="json")]})
        store.execute("UPDATE nights SET summary = ?", (summary,))
    code, said = publish(morning, capsys)
    assert (code, said["error"]["code"]) == (3, "preflight")
    assert "review.peerA" in said["error"]["message"]
    assert pushed(tmp_path) == []
    assert publish(morning, capsys, "--accept-distrusted", "read both")[0] == 0
    assert len(pushed(tmp_path)) == 2


def test_a_branch_in_the_way_is_not_replaced(
    morning: Morning, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Somebody's branch of that name, here or on the remote, stays what it is."""
    name = "pantheon/publish-n1/alpha"
    morning.git("branch", name, "main")
    code, said = publish(morning, capsys)
    assert (code, said["error"]["code"]) == (3, "preflight")
    assert morning.git("rev-parse", name) == morning.git("rev-parse", "main")
    morning.git("branch", "-D", name)
    theirs = morning.git("commit-tree", "main^{tree}", "-m", "theirs")
    morning.git("push", "-q", "origin", f"{theirs}:refs/heads/{name}")
    code, said = publish(morning, capsys)
    assert (code, said["error"]["code"]) == (4, "git"), "git refuses, because nothing is forced"
    assert morning.git("ls-remote", "origin", name).split()[0] == theirs


@pytest.mark.parametrize("remote", ["--receive-pack=touch {marker};", "ext::sh -c touch% {marker}"])
async def test_a_remote_is_no_option_and_no_program(morning: Morning, tmp_path: Path, remote: str) -> None:
    """A remote neither becomes an option of git nor runs anything; plain git obeys it (the control)."""
    marker = tmp_path / "marker"
    words = remote.format(marker=marker)
    plain = ["git", "-c", "protocol.ext.allow=always", "push", words, "origin", "main:refs/heads/x"]
    if remote.startswith("ext"):
        plain.remove("origin")
    await asyncio.to_thread(
        lambda: subprocess.run(plain, cwd=morning.root, check=False, capture_output=True, timeout=60)
    )
    assert marker.exists(), "the control"
    marker.unlink()
    forge = CliForge(morning.root, words, "/bin/true", "gh", environment())
    with pytest.raises(GitError):
        await forge.push("pantheon/x", morning.git("rev-parse", "main"))
    assert not marker.exists()


async def test_no_hook_of_the_repository_runs(morning: Morning, tmp_path: Path) -> None:
    """Neither where hooks are nor where the configuration says they are; plain git runs it (the control)."""
    marker = tmp_path / "marker"
    hook = morning.root / ".git" / "hooks" / "pre-push"
    hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
    hook.chmod(0o755)
    morning.git("config", "core.hooksPath", str(hook.parent))
    morning.git("push", "-q", "origin", "main:refs/heads/x")
    assert marker.exists(), "the control"
    marker.unlink()
    forge = CliForge(morning.root, "origin", "/bin/true", "gh", environment())
    await forge.push("pantheon/x", morning.git("rev-parse", "main"))
    assert not marker.exists()
    assert "pantheon/x" in pushed(tmp_path)


async def test_what_a_forge_answers_is_bounded_and_shown_through_the_door(
    morning: Morning, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A program that fails with a screen full of controls: one bounded line, written out."""
    evil = tmp_path / "bin" / "gh"
    evil.write_text("#!/bin/sh\nprintf '\\033]0;x\\007%.0s' $(seq 5000) >&2\nexit 1\n")
    capsys.readouterr()
    code = await asyncio.to_thread(run, ["-C", str(morning.root), "publish", "--to", "gh", "--yes"])
    err = capsys.readouterr().err
    assert code == 4
    assert "\x1b" not in err
    assert "\x07" not in err
    assert len(err) < 10_000
