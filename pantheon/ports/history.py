"""The seam to a repository by day: its branches and commits, and commits made beside it, never its work tree.

Every method raises ``GitError`` when git refuses.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from pantheon.core.history import Commit
from pantheon.core.past_changes import PastCommit


class Branch(NamedTuple):
    """One branch of the user's repository, or one that was fetched from a remote."""

    name: str
    """Full name: ``refs/heads/main``."""
    commit: str


class LeftFile(NamedTuple):
    """One file as a commit left it."""

    path: str
    blob: str
    """Id of its content."""
    added: int
    """Lines that the commit brought; 0 for a binary file."""


class History(Protocol):
    """One repository, for a command of the day."""

    async def branches(self) -> tuple[Branch, ...]:
        """Return every branch, fetched ones included, by name."""
        ...

    async def head(self) -> str:
        """Return the full name of the branch that is checked out; empty where none is."""
        ...

    async def commits(self, *until: str, without: Sequence[str] = ()) -> tuple[Commit, ...]:
        """Return the commits that lead to one or to several, oldest first.

        Args:
            until: commits or full names.
            without: commits that are left out, with all that lead to them.
        """
        ...

    async def past(self, until: str, most: int) -> tuple[PastCommit, ...]:
        """Return the newest commits that lead to one and what they changed, oldest first.

        Args:
            until: a commit.
            most: how many commits.
        """
        ...

    async def contains(self, commit: str) -> tuple[str, ...]:
        """Return the full names of the branches that a commit leads to."""
        ...

    async def paths(self, base: str, head: str) -> tuple[str, ...]:
        """Return every path that differs between two commits, both names of a renamed file."""
        ...

    async def pick(self, before: str, after: str, onto: str) -> str:
        """Return the tree that the change between two commits makes on top of a third.

        Raises:
            MergeConflictError: it cannot be made there; the message names the files.
        """
        ...

    async def commit(self, tree: str, parent: str, message: str) -> str:
        """Return a new commit, which nothing points to yet."""
        ...

    async def move(self, branch: str, new: str, *, old: str | None, base: str) -> None:
        """Copy a commit into the user's repository and move a branch to it, compare-and-swap.

        Args:
            branch: short name.
            new: the commit.
            old: where the branch must be now; None when it must not exist.
            base: a commit of the user's repository that leads to ``new``.

        Raises:
            GitError: the branch is elsewhere, or somebody works on it.
        """
        ...

    async def write_bundle(self, file: Path, branches: Sequence[tuple[str, str]], base: str) -> None:
        """Write branches (short name, commit) into a git bundle that builds on ``base``."""
        ...

    async def patches(self, base: str, head: str) -> tuple[tuple[str, bytes], ...]:
        """Return (file name, patch) of each commit after ``base`` up to ``head``, oldest first."""
        ...

    async def left_files(self, base: str, head: str) -> tuple[LeftFile, ...]:
        """Return every file that differs between two commits and is there in the newer one; a renamed one once."""
        ...

    async def contents(self, commit: str) -> Mapping[str, str]:
        """Return path -> id of its content, for every file of a commit."""
        ...

    async def renames(self, old: str, new: str) -> Mapping[str, str]:
        """Return old path -> new path of every file that has another name in the newer commit."""
        ...

    async def lines_left(self, commit: str, until: str, path: str) -> int:
        """Return how many lines of a file of ``until`` stand as ``commit`` wrote them, white space aside."""
        ...

    async def find_contents(self, until: str, without: str, wanted: Mapping[str, str]) -> str | None:
        """Return the first commit after ``without`` up to ``until`` that has all of this: path -> id of its content."""
        ...
