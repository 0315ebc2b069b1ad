"""A pool of work trees that are reused: each checkout writes only what differs from the last one.

A pooled tree is a plain folder with an index file beside it; there is no ``.git`` in it that a tool could
rewrite. A tree goes back to the pool only after its content was taken over by a commit or an artifact: that
is the caller's duty. What is left is cleaned at the next lease.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.tree_files import DiskTree
from pantheon.core.errors import GitError
from pantheon.ports.clock import Clock
from pantheon.ports.crash_points import CrashPoint, reach

AUTHOR = {"NAME": "Pantheon", "EMAIL": "pantheon@localhost"}


def identity(clock: Clock) -> dict[str, str]:
    """Return the environment that names author, committer and time of a commit."""
    stamp = clock.now().strftime("%Y-%m-%dT%H:%M:%S+00:00")
    return {
        f"GIT_{who}_{key}": value
        for who in ("AUTHOR", "COMMITTER")
        for key, value in {**AUTHOR, "DATE": stamp}.items()
    }


class PooledTree:
    """``ports.worktree.WorkTree`` on one folder of the pool."""

    def __init__(self, git: GitRunner, folder: Path, index: Path, clock: Clock) -> None:
        self._git = git
        self._folder = folder
        self._env = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(folder)}
        self._clock = clock
        self._start = ""

    @property
    def files(self) -> DiskTree:
        return DiskTree(self._folder)

    async def checkout(self, commit: str) -> None:
        """Make the folder equal to ``commit`` and nothing else."""
        reach(CrashPoint.CHECKOUT_BEFORE)
        await self._run("read-tree", "--reset", "-u", commit)
        reach(CrashPoint.CHECKOUT_MIDWAY)
        await self._run("clean", "-ffdxq")
        reach(CrashPoint.CHECKOUT_AFTER)
        self._start = commit

    async def commit(self, message: str) -> str:
        reach(CrashPoint.TREE_COMMIT_BEFORE)
        await self._run("add", "--all", "--force", ".")
        tree = (await self._run("write-tree")).strip()
        reach(CrashPoint.TREE_COMMIT_MIDWAY)
        before = await self._git.text("rev-parse", f"{self._start}^{{tree}}")
        if tree == before:
            return self._start
        commit = await self._git.text(
            "commit-tree",
            tree,
            "-p",
            self._start,
            stdin=message.encode(),
            env={**self._env, **identity(self._clock)},
        )
        reach(CrashPoint.TREE_COMMIT_AFTER)
        return commit

    async def _run(self, *args: str, env: Mapping[str, str] | None = None) -> str:
        return await self._git.text(*args, env={**self._env, **(env or {})})


class TreePool:
    """Leases work trees, at most ``size`` at once; more wait their turn.

    Args:
        git: the daemon's own git directory.
        folder: where the trees live.
        size: number of trees.
        clock: for the time in commits.
    """

    def __init__(self, git: GitRunner, folder: Path, *, size: int, clock: Clock) -> None:
        self._git = git
        self._folder = folder
        self._clock = clock
        self._free: asyncio.Queue[int] = asyncio.Queue(maxsize=size)
        for number in range(size):
            self._free.put_nowait(number)

    @asynccontextmanager
    async def lease(self, commit: str) -> AsyncIterator[PooledTree]:
        """Lease a tree that stands at ``commit``."""
        number = await self._free.get()
        try:
            yield await self._checked_out(number, commit)
        finally:
            self._free.put_nowait(number)

    async def _checked_out(self, number: int, commit: str) -> PooledTree:
        folder, index = self._folder / f"{number:02}", self._folder / f"{number:02}.index"
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        tree = PooledTree(self._git, folder, index, self._clock)
        try:
            await tree.checkout(commit)
        except GitError:
            # A killed git leaves a lock, a torn index or a half-written tree; all of it can be made again.
            for stale in (index.with_suffix(".index.lock"), index):
                await asyncio.to_thread(stale.unlink, missing_ok=True)
            await tree.checkout(commit)
        return tree
