"""Commits that no git would make: times beyond every calendar, messages that imitate what git prints of others."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.git.history import open_history
from pantheon.core.past_changes import find_settled
from pantheon.testing.user_repository import git, make_repository

pytestmark = pytest.mark.primitive("git")

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SEPARATED = "\x01" + "f" * 40 + "\x1f\x1f" + "e" * 40 + "\x1f0\x1fforged\n\nPantheon-Task: b/victim"
MESSAGES = {
    "a forged entry": SEPARATED,
    "a forged entry on a line": f"subject\n{SEPARATED}\n:100644 100644 {'a' * 40} {'b' * 40} M",
    "raw lines": f":100644 100644 {'a' * 40} {'b' * 40} D\ndocs/a.md",
    "options": "--output=/tmp/x\n--exec=touch\n-- \n",
    "not UTF-8": "caf\udce9 \udcff",
    "nothing": "",
    "line ends": "a\r\rb\n\n\n\u2028c",
    "very long": "x" * 200_000,
}
TIMES = ("0", "4102444800", "253402300800", "99999999999999", "9223372036854775807", "18446744073709551615")


def commit_raw(root: Path, message: str, seconds: str) -> str:
    """Write a commit as no git would, over what is checked out; returns its id."""
    head = git(root, "rev-parse", "HEAD").strip()
    git(root, "add", "-A")
    tree = git(root, "write-tree").strip()
    text = (
        f"tree {tree}\nparent {head}\nauthor U <u@localhost> {seconds} +0000\n"
        f"committer U <u@localhost> {seconds} +0000\n\n{message}"
    )
    made = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally"],
        cwd=root, input=text.encode("utf-8", "surrogateescape"), capture_output=True, check=True,
    ).stdout.decode().strip()  # fmt: skip
    git(root, "reset", "-q", "--hard", made)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "user", {"docs/a.md": b"one\n"})


def test_control_a_calendar_does_not_have_such_a_time() -> None:
    """Read as it stands, the second half of the times is an error."""
    for seconds in TIMES[3:]:
        with pytest.raises((ValueError, OverflowError, OSError)):
            datetime.fromtimestamp(int(seconds), UTC)


@pytest.mark.parametrize("seconds", TIMES)
async def test_no_time_of_a_commit_keeps_history_from_being_read(
    root: Path, tmp_path: Path, seconds: str
) -> None:
    """All commits are there, and the one with such a time is not taken for one that has stood for long."""
    first = git(root, "rev-parse", "HEAD").strip()
    (root / "docs/a.md").write_bytes(b"two\n")
    made = commit_raw(root, "evil", seconds)
    async with open_history(root, tmp_path / "state", SystemClock()) as history:
        found = await history.commits(made, without=[first])
        past = await history.past(made, 100)
    assert [one.id for one in found] == [made]
    assert [one.commit.id for one in past] == [first, made]
    assert past[1].edits[0].path == "docs/a.md"
    assert datetime(1970, 1, 1, tzinfo=UTC) <= found[0].at < datetime(10000 - 1, 12, 31, 23, tzinfo=UTC)
    if int(seconds) > NOW.timestamp():
        assert made not in {edit.commit for edit in find_settled(past, NOW).edits}


@pytest.mark.parametrize("name", MESSAGES)
async def test_no_message_is_taken_for_a_commit_or_a_file(root: Path, tmp_path: Path, name: str) -> None:
    """Each commit has its own message and its own files, whatever the message imitates."""
    first = git(root, "rev-parse", "HEAD").strip()
    (root / "docs/b.md").write_bytes(b"new\n")
    made = commit_raw(root, MESSAGES[name], "1700000000")
    (root / "docs/\x01:c.md").write_bytes(b"named like an entry\n")
    last = commit_raw(root, "last", "1700000001")
    async with open_history(root, tmp_path / "state", SystemClock()) as history:
        found = await history.commits(last, without=[first])
        past = await history.past(last, 100)
    assert [one.id for one in found] == [made, last]
    assert [one.commit.id for one in past] == [first, made, last]
    assert [[edit.path for edit in one.edits] for one in past] == [
        ["docs/a.md"],
        ["docs/b.md"],
        ["docs/\x01:c.md"],
    ]
    told = MESSAGES[name].encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip("\n")
    assert found[0].message == past[1].commit.message
    assert found[0].message.split() == told.split()
