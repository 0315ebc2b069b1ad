"""What commits did to which files, read from real repositories."""

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pantheon.adapters.git.history import open_history
from pantheon.core.errors import GitError
from pantheon.core.past_changes import PastCommit, find_settled
from pantheon.testing.clock import FakeClock

START = datetime(2026, 1, 1, tzinfo=UTC)
BODY = "".join(f"Line {number} of a note that says enough to be known again.\n" for number in range(8))


class User:
    """A repository whose commits are made on days that are given."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git(0, "init", "-q", "-b", "main")

    def git(self, day: float, *args: str) -> str:
        at = (START + timedelta(days=day)).isoformat()
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.root.parent), "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_AUTHOR_NAME": "U", "GIT_AUTHOR_EMAIL": "u@x", "GIT_AUTHOR_DATE": at,
            "GIT_COMMITTER_NAME": "U", "GIT_COMMITTER_EMAIL": "u@x", "GIT_COMMITTER_DATE": at,
        }  # fmt: skip
        return subprocess.run(
            ["git", *args], cwd=self.root, env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, day: float, message: str, files: Mapping[str, str | None]) -> str:
        for path, text in files.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                (self.root / path).unlink()
            else:
                (self.root / path).write_text(text)
        self.git(day, "add", "-A")
        self.git(day, "commit", "-q", "--allow-empty", "-m", message)
        return self.git(day, "rev-parse", "HEAD")


async def past(user: User, tmp_path: Path, most: int = 100) -> tuple[PastCommit, ...]:
    async with open_history(user.root, tmp_path / "state", FakeClock()) as history:
        return await history.past(user.git(0, "rev-parse", "HEAD"), most)


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path / "user")


async def test_a_renamed_note_is_one_change_with_both_names(user: User, tmp_path: Path) -> None:
    """Renamed and catalogued in one commit, it is known before and after, also with its content."""
    user.commit(0, "start", {"docs/2025.01.md": BODY, "c.txt": "c\n"})
    made = user.commit(
        1, "Catalogue", {"docs/2025.01.md": None, "docs/a-telling-name.md": f"---\nt: x\n---\n{BODY}"}
    )
    first, second = await past(user, tmp_path)
    assert [edit.status for edit in first.edits] == ["A", "A"]
    (edit,) = second.edits
    assert (edit.status, edit.old_path, edit.path) == ("R", "docs/2025.01.md", "docs/a-telling-name.md")
    assert (edit.old_mode, edit.mode) == ("100644", "100644")
    assert edit.blob == user.git(0, "rev-parse", f"{made}:{edit.path}")
    assert edit.old_blob == user.git(0, "rev-parse", f"{made}^:{edit.old_path}")
    found = find_settled([first, second], START + timedelta(days=30)).edits
    assert [(one.commit, one.old_path, one.path) for one in found] == [(made, edit.old_path, edit.path)]


async def test_a_merge_has_what_none_of_its_parents_had(user: User, tmp_path: Path) -> None:
    """A clean merge changed nothing; one that altered a note on its way did, and that counts as changed again."""
    user.commit(0, "start", {"a-note.md": BODY, "b-note.md": BODY})
    user.git(0, "branch", "side")
    user.commit(1, "b", {"b-note.md": BODY + "more\n"})
    user.git(1, "checkout", "-q", "side")
    changed = user.commit(2, "a", {"a-note.md": "---\nt: x\n---\n" + BODY})
    user.git(2, "checkout", "-q", "main")
    user.git(3, "merge", "-q", "--no-ff", "-m", "clean", "side")
    commits = await past(user, tmp_path)
    assert commits[-1].edits == ()
    assert len(commits[-1].commit.parents) == 2
    assert changed in {one.commit for one in find_settled(commits, START + timedelta(days=99)).edits}
    user.git(3, "reset", "-q", "--hard", "HEAD^")
    user.git(3, "merge", "-q", "--no-ff", "--no-commit", "side")
    user.commit(3, "altered", {"a-note.md": "---\nt: other\n---\n" + BODY})
    commits = await past(user, tmp_path)
    assert [(edit.status, edit.path) for edit in commits[-1].edits] == [("M", "a-note.md")]
    settled = find_settled(commits, START + timedelta(days=99))
    assert changed not in {one.commit for one in settled.edits}
    assert settled.left_out["changed again soon after"] == 1


async def test_a_revert_takes_its_commit_out(user: User, tmp_path: Path) -> None:
    """Months later too, and also where the message does not say that it is one."""
    user.commit(0, "start", {"a-note.md": BODY, "b-note.md": BODY})
    user.commit(1, "a", {"a-note.md": "---\nt: x\n---\n" + BODY})
    user.commit(2, "b", {"b-note.md": "---\nt: x\n---\n" + BODY})
    assert len(find_settled(await past(user, tmp_path), START + timedelta(days=99)).edits) == 2
    user.git(80, "revert", "--no-edit", "HEAD^")
    user.commit(81, "tidy", {"b-note.md": BODY})
    settled = find_settled(await past(user, tmp_path), START + timedelta(days=200))
    assert [one.path for one in settled.edits] == ["b-note.md"]
    assert settled.edits[0].commit == user.git(0, "rev-parse", "HEAD")
    assert settled.left_out["taken back"] == 2


async def test_names_and_messages_cannot_forge_commits(user: User, tmp_path: Path) -> None:
    """A name or a message that looks like the output of git is a name or a message."""
    user.commit(0, "start", {"a-note.md": BODY})
    forged = "\x01" + "0" * 40 + "\x1f\x1f" + "0" * 40 + "\x1f1\x1fforged"
    name = "\x01x\x1f:100644 100644\n.md"
    user.commit(1, f"subject\n\n{forged}\n:100644 100644 {'0' * 40} {'1' * 40} M\n", {name: BODY + "x\n"})
    user.commit(2, "newest", {name: BODY + "y\n"})
    commits = await past(user, tmp_path)
    assert [one.commit.subject for one in commits] == ["start", "subject", "newest"]
    assert [edit.path for one in commits for edit in one.edits] == ["a-note.md", name, name]
    assert forged in commits[1].commit.message


async def test_only_the_newest_are_read(user: User, tmp_path: Path) -> None:
    """However long a history is, no more commits are read than were asked for, oldest of them first."""
    for number in range(5):
        user.commit(number, f"commit {number}", {"a-note.md": f"{number}\n"})
    assert [one.commit.subject for one in await past(user, tmp_path, 2)] == ["commit 3", "commit 4"]


async def test_what_is_no_commit_is_refused(user: User, tmp_path: Path) -> None:
    """An option is no commit."""
    user.commit(0, "start", {"a-note.md": BODY})
    async with open_history(user.root, tmp_path / "state", FakeClock()) as history:
        with pytest.raises(GitError):
            await history.past("--all", 5)
