"""The seams to git: the files of one work tree, and the repository of commits behind it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple, Protocol


class ChangedPath(NamedTuple):
    """One path that differs between two commits."""

    status: str
    """``A`` added, ``M`` changed, ``D`` deleted, ``T`` another type."""
    path: str
    old_mode: str
    """In the older commit, as ``mode``."""
    mode: str
    """In the newer commit: ``100644``, ``100755``, ``120000`` (link), ``160000`` (repository), ``000000``."""


class TreeFiles(Protocol):
    """The files of one work tree, as tools see them. Paths are relative POSIX paths.

    Every method is synchronous and bounded; the engine calls tools in a thread.
    Each raises ``ToolError`` for a path outside the tree, a symbolic link on the way, anything that is not a
    regular file, and a file over a size ceiling.
    """

    def list_files(self) -> tuple[str, ...]:
        """Return the path of every regular file, sorted."""
        ...

    def exists(self, path: str) -> bool:
        """Tell whether something is at ``path``."""
        ...

    def read_bytes(self, path: str, *, max_bytes: int = 1_000_000) -> bytes:
        """Return the whole content of a file."""
        ...

    def write_bytes(self, path: str, data: bytes) -> None:
        """Create or replace a file, keeping its mode."""
        ...

    def move(self, source: str, target: str) -> None:
        """Rename a file; an existing target is an error."""
        ...


class WorkTree(Protocol):
    """A leased work tree that stands at one commit."""

    @property
    def files(self) -> TreeFiles:
        """Its files."""
        ...

    @property
    def folder(self) -> Path:
        """The folder itself, for a program in the sandbox; what that left there is nobody's to trust."""
        ...

    async def commit(self, message: str) -> str:
        """Return the commit that holds the tree as it is now; the starting commit when nothing changed.

        Its parent is the starting commit, also when this is not the first commit of the lease.

        Raises:
            GitError: the lease has ended, or the commit cannot be made; it may be tried again.

        Cancellation:
            No commit, or one that nobody knows of; the files stay as they are.
        """
        ...


class Repository(Protocol):
    """Commits of the user's repository plus the night's own, never the user's work tree or index.

    Every method that is given a commit raises ``GitError`` when it is not there: ``CommitLostError`` where it can
    be told that the night's own commits are gone. That is no fault of the work, and never taken for a conflict.
    """

    async def resolve(self, revision: str) -> str:
        """Return the full id of a commit. Raises ``GitError`` when there is none."""
        ...

    def work_tree(self, commit: str) -> AbstractAsyncContextManager[WorkTree]:
        """Lease a pooled work tree at ``commit``; it returns to the pool on exit.

        What is not in a commit by then is cleaned at the next lease. What a killed process left is kept first.

        Raises:
            GitError: the commit is not there, or the files cannot be written.

        Cancellation:
            The tree returns to the pool; the next lease is right wherever this one was broken off.
        """
        ...

    async def diff(self, base: str, head: str) -> bytes:
        """Return the whole diff between two commits as text, whatever attributes say; renames are told as such."""
        ...

    async def changed_paths(self, base: str, head: str) -> tuple[ChangedPath, ...]:
        """Return every path that differs, without rename detection."""
        ...

    async def merge(self, commits: Sequence[str]) -> str:
        """Return a commit that merges ``commits``, the first when all are equal.

        Raises:
            MergeConflictError: they do not merge.
        """
        ...

    async def read_file(self, commit: str, path: str) -> bytes | None:
        """Return a file's content at a commit; None when it is not there or not a regular file."""
        ...

    async def read_files(self, commit: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Return the content of many files at once; those that are not there or not regular are left out."""
        ...

    async def find_text(self, commit: str, texts: Sequence[str]) -> tuple[str, ...]:
        """Return the paths of the files that hold any of these texts, letter by letter."""
        ...

    async def list_files(self, commit: str) -> tuple[str, ...]:
        """Return the paths of every regular file at a commit, sorted."""
        ...

    async def commit_tree_of(self, commit: str, parent: str, message: str) -> str:
        """Return a new commit with the tree of ``commit`` on top of ``parent``."""
        ...

    async def tree_of(self, commit: str) -> str:
        """Return the id of a commit's tree."""
        ...

    async def find_landed(self, branch: str, base: str, trailer: str, value: str) -> str | None:
        """Return the commit of ``branch`` since ``base`` one of whose trailers has this value, else None."""
        ...

    async def trailer_values(self, base: str, head: str, key: str) -> tuple[str, ...]:
        """Return the values of one trailer over all commits after ``base`` up to ``head``, oldest first."""
        ...

    async def branch(self, name: str) -> str | None:
        """Return the commit a branch of the user's repository points to, None when there is none."""
        ...

    async def publish(self, branch: str, new: str, *, old: str | None, base: str) -> None:
        """Copy ``new`` into the user's repository and move ``branch`` from ``old`` to it, compare-and-swap.

        Args:
            branch: short name of the night's branch.
            new: a commit on top of ``old``.
            old: where the branch must be now; None when it must not exist.
            base: commit of the user's repository that the branch grew from.

        Raises:
            GitError: the branch is not at ``old``.
        """
        ...
