"""A pool of work trees that are reused: each lease writes only what differs from the last one.

A tree goes back to the pool only after its content was taken over by a commit or an artifact: that is the
caller's duty. What is left is cleaned at the next lease; after a kill, it is kept first.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.pooled_tree import PooledTree
from pantheon.ports.clock import Clock


class TreePool:
    """Leases work trees, at most ``size`` at once; more wait their turn.

    Args:
        git: the night's own git directory.
        folder: where the trees live.
        size: number of trees.
        clock: for the time in commits.
    """

    def __init__(self, git: GitRunner, folder: Path, *, size: int, clock: Clock) -> None:
        owner = secrets.token_hex(8)
        self._permits = asyncio.Semaphore(size)
        self._free = [
            PooledTree(git, folder / f"{number:02}", owner=owner, clock=clock) for number in range(size)
        ]

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

    def _choose(self, commit: str) -> PooledTree:
        """Take the tree that is there already, else the one used last: it differs least."""
        place = next((place for place, tree in enumerate(self._free) if tree.at == commit), 0)
        return self._free.pop(place)
