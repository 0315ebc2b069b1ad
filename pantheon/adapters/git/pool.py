"""A pool of work trees that are reused: each lease writes only what differs from the last one.

A tree goes back to the pool only after its content was taken over by a commit or an artifact: that is the
caller's duty. What is left is cleaned at the next lease; after a kill, it is kept first.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.pooled_tree import PooledTree
from pantheon.adapters.threads import run_to_end
from pantheon.core.errors import GitError
from pantheon.ports.clock import Clock

_log = structlog.get_logger()


class TreePool:
    """Leases work trees, at most ``size`` at once; more wait their turn.

    Args:
        git: the night's own git directory.
        folder: where the trees live.
        size: number of trees.
        clock: for the time in commits.
    """

    def __init__(self, git: GitRunner, folder: Path, *, size: int, clock: Clock) -> None:
        self._git = git
        self._folder = folder
        self._owner = secrets.token_hex(8)
        self._clock = clock
        self._permits = asyncio.Semaphore(size)
        self._free = [self._tree(f"{number:02}") for number in range(size)]

    async def recover(self) -> None:
        """Keep what a killed night left in any tree, those beyond ``size`` too.

        A tree where somebody is at work is left alone; so is one that fails, until it is leased.
        """
        for path in await run_to_end(lambda: sorted(self._folder.glob("*.state"))):
            try:
                await self._tree(path.stem).recover()
            except GitError as error:
                _log.warning("work_tree_not_recovered", tree=path.stem, why=error.message)

    @asynccontextmanager
    async def lease(self, commit: str) -> AsyncIterator[PooledTree]:
        """Lease a tree that stands at ``commit``. Raises and is cancelled as ``PooledTree.lease``."""
        async with self._permits:
            tree = self._choose(commit)
            try:
                async with tree.lease(commit):
                    yield tree
            finally:
                self._free.insert(0, tree)

    def _tree(self, name: str) -> PooledTree:
        return PooledTree(self._git, self._folder / name, owner=self._owner, clock=self._clock)

    def _choose(self, commit: str) -> PooledTree:
        """Take the tree that is there already, else the one used last: it differs least."""
        place = next((place for place, tree in enumerate(self._free) if tree.at == commit), 0)
        return self._free.pop(place)
