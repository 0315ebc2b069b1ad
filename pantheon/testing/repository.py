"""A repository in memory: commits are dictionaries of bytes, branches are names, a merge goes line by line.

Small but true: ids are digests of what they name, so equal trees have equal ids. Left out on purpose: modes other
than a plain file's, links, and git's rename detection in merges.
"""

import difflib
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from pantheon.core.errors import GitError, MergeConflictError
from pantheon.ports.worktree import ChangedPath
from pantheon.testing.tree import FakeTree


class FakeCommit(NamedTuple):
    """One commit."""

    files: Mapping[str, bytes]
    parents: tuple[str, ...]
    message: str


class FakeWorkTree:
    """``ports.worktree.WorkTree`` in memory."""

    def __init__(self, repository: "FakeRepository", start: str) -> None:
        self._repository = repository
        self._start = start
        self._files = FakeTree(repository.commits[start].files)

    @property
    def files(self) -> FakeTree:
        return self._files

    @property
    def folder(self) -> Path:
        """A path that names the commit, for a sandbox that only pretends; there is nothing on the disk."""
        return Path("/memory") / self._start

    async def commit(self, message: str) -> str:
        if self._files.content == self._repository.commits[self._start].files:
            return self._start
        return self._repository.add(dict(self._files.content), (self._start,), message)


class FakeRepository:
    """``ports.worktree.Repository`` in memory.

    Args:
        files: what the first commit holds; ``HEAD`` names it.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.commits: dict[str, FakeCommit] = {}
        """id -> commit, the user's and the night's."""
        self.branches: dict[str, str] = {}
        """Branches of the user's repository, to change from a test as a user would."""
        self.checked_out: set[str] = set()
        """Branches that somebody works on."""
        self.head = self.add(dict(files), (), "start\n")

    def add(self, files: Mapping[str, bytes], parents: tuple[str, ...], message: str) -> str:
        """Add a commit and return its id."""
        commit = FakeCommit(files, parents, message)
        name = hashlib.sha1(
            repr((sorted(files.items()), parents, message, len(self.commits))).encode(), usedforsecurity=False
        ).hexdigest()
        self.commits[name] = commit
        return name

    async def resolve(self, revision: str) -> str:
        found = self.head if revision == "HEAD" else self.branches.get(revision, revision)
        if found not in self.commits:
            raise GitError(f"the repository has no commit {revision!r}")
        return found

    @asynccontextmanager
    async def work_tree(self, commit: str) -> AsyncIterator[FakeWorkTree]:
        self._commit(commit)
        yield FakeWorkTree(self, commit)

    async def diff(self, base: str, head: str) -> bytes:
        old, new = self._commit(base).files, self._commit(head).files
        parts: list[bytes] = []
        for path in sorted({*old, *new}):
            if old.get(path) != new.get(path):
                parts.append(f"diff --git a/{path} b/{path}\n".encode())
                parts.extend(
                    difflib.diff_bytes(
                        difflib.unified_diff,
                        old.get(path, b"").splitlines(keepends=True),
                        new.get(path, b"").splitlines(keepends=True),
                        f"a/{path}".encode(),
                        f"b/{path}".encode(),
                    )
                )
        return b"".join(parts)

    async def changed_paths(self, base: str, head: str) -> tuple[ChangedPath, ...]:
        old, new = self._commit(base).files, self._commit(head).files
        found = []
        for path in sorted({*old, *new}):
            if old.get(path) != new.get(path):
                status = "A" if path not in old else "D" if path not in new else "M"
                modes = ["100644" if path in files else "000000" for files in (old, new)]
                found.append(ChangedPath(status, path, *modes))
        return tuple(found)

    async def merge(self, commits: Sequence[str]) -> str:
        merged = commits[0]
        self._commit(merged)
        for other in commits[1:]:
            merged = self._merge_two(merged, other)
        return merged

    async def read_file(self, commit: str, path: str) -> bytes | None:
        return self._commit(commit).files.get(path)

    async def read_files(self, commit: str, paths: Sequence[str]) -> Mapping[str, bytes]:
        files = self._commit(commit).files
        return {path: files[path] for path in paths if path in files}

    async def find_text(self, commit: str, texts: Sequence[str]) -> tuple[str, ...]:
        wanted = [text.encode() for text in texts]
        files = self._commit(commit).files
        return tuple(sorted(path for path, data in files.items() if any(text in data for text in wanted)))

    async def list_files(self, commit: str) -> tuple[str, ...]:
        return tuple(sorted(self._commit(commit).files))

    async def commit_tree_of(self, commit: str, parent: str, message: str) -> str:
        self._commit(parent)
        return self.add(self._commit(commit).files, (parent,), message)

    async def tree_of(self, commit: str) -> str:
        content = repr(sorted(self._commit(commit).files.items())).encode()
        return hashlib.sha1(content, usedforsecurity=False).hexdigest()

    async def find_landed(self, branch: str, base: str, trailer: str, value: str) -> str | None:
        head = self.branches.get(branch)
        if head is None:
            return None
        between = self._after(base, head)
        return next((one for one in reversed(between) if value in self._trailers(one, trailer)), None)

    async def trailer_values(self, base: str, head: str, key: str) -> tuple[str, ...]:
        return tuple(value for one in self._after(base, head) for value in self._trailers(one, key))

    async def branch(self, name: str) -> str | None:
        return self.branches.get(name)

    async def publish(self, branch: str, new: str, *, old: str | None, base: str) -> None:
        self._commit(new)
        self._commit(base)
        if branch in self.checked_out:
            raise GitError(f"the branch {branch} is checked out")
        if self.branches.get(branch) != old:
            raise GitError(f"the branch {branch} is not at {old}")
        self.branches[branch] = new

    def _commit(self, name: str) -> FakeCommit:
        try:
            return self.commits[name]
        except KeyError as error:
            raise GitError(f"the repository has no commit {name!r}") from error

    def _ancestors(self, name: str) -> list[str]:
        """Return a commit and all before it, oldest first."""
        found: dict[str, None] = {}
        for parent in self._commit(name).parents:
            found.update(dict.fromkeys(self._ancestors(parent)))
        return [*found, name]

    def _after(self, base: str, head: str) -> list[str]:
        known = set(self._ancestors(base))
        return [one for one in self._ancestors(head) if one not in known]

    def _trailers(self, name: str, key: str) -> list[str]:
        last = self._commit(name).message.rstrip("\n").rsplit("\n\n", 1)[-1]
        pairs = [line.partition(": ") for line in last.split("\n")]
        return [value for found, _, value in pairs if found.lower() == key.lower()]

    def _merge_two(self, ours: str, theirs: str) -> str:
        before = self._ancestors(ours)
        if theirs in before:
            return ours
        after = self._ancestors(theirs)
        if ours in after:
            return theirs
        common = [one for one in before if one in after]
        base = self._commit(common[-1]).files if common else {}
        left, right = self._commit(ours).files, self._commit(theirs).files
        merged: dict[str, bytes] = {}
        for path in sorted({*base, *left, *right}):
            content = merge_file(path, base.get(path), left.get(path), right.get(path))
            if content is not None:
                merged[path] = content
        for path in merged:
            if any(other.startswith(f"{path}/") for other in merged):
                raise MergeConflictError(f"the changes conflict: {path} is a file here and a folder there")
        return self.add(merged, (ours, theirs), "Join\n")


def merge_file(path: str, base: bytes | None, left: bytes | None, right: bytes | None) -> bytes | None:
    """Merge one path line by line; None is a path that is not there.

    Raises:
        MergeConflictError: both sides changed the same or neighbouring lines, or one deleted what the other changed.
    """
    if left == right or right == base:
        return left
    if left == base:
        return right
    if base is None or left is None or right is None:
        raise MergeConflictError(f"the changes conflict: {path}")
    lines = base.splitlines(keepends=True)
    edits = sorted([*_edits(lines, left), *_edits(lines, right)])
    merged: list[bytes] = []
    place = 0
    for (first, last, new), following in zip(edits, [*edits[1:], (len(lines) + 2, 0, [])], strict=True):
        if following[0] <= last and following != (first, last, new):
            raise MergeConflictError(f"the changes conflict: {path}, line {first + 1}")
        if following != (first, last, new):
            merged += [*lines[place:first], *new]
            place = last
    return b"".join([*merged, *lines[place:]])


def _edits(base: Sequence[bytes], changed: bytes) -> Iterable[tuple[int, int, list[bytes]]]:
    """Yield (first line, line after the last, new lines) for each place that was changed."""
    new = changed.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, list(base), new, autojunk=False)
    for kind, first, last, start, end in matcher.get_opcodes():
        if kind != "equal":
            yield first, last, new[start:end]
