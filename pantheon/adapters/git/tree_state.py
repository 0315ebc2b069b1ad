"""What is known of one pooled tree across processes, in a file that is also its lock.

Invariants:
- whoever works on the tree holds the lock, git's processes included: they inherit it, so a git that outlives a
  killed night is waited for before anything else touches the tree;
- ``open_at`` names a commit exactly while an attempt may have written on top of it.
"""

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from pantheon.adapters.own_files import open_lock
from pantheon.core.errors import GitError

_SIZE = 256
_POLL_S = 0.02
WAIT_S = 60.0


class TreeState(NamedTuple):
    """The content of the file."""

    owner: str
    """Which pool wrote last; another one cannot know what the folder holds."""
    open_at: str | None
    """The commit that an attempt may be writing on top of; None when nobody is."""


class StateFile:
    """The state of one tree, locked. Make it with ``hold``."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        """Descriptor that git's processes inherit."""

    def read(self) -> TreeState | None:
        """Return the state; None when there is none, or it is torn."""
        try:
            found = json.loads(os.pread(self.handle, _SIZE, 0))
            return TreeState(str(found["owner"]), found["open_at"])
        except (ValueError, KeyError, TypeError):
            return None

    def write(self, state: TreeState) -> None:
        """Replace the state in one write. Raises ``GitError``."""
        try:
            os.pwrite(self.handle, json.dumps(state._asdict()).encode().ljust(_SIZE), 0)
        except OSError as error:
            raise GitError(f"the state of a work tree cannot be written: {error.strerror}") from error


@asynccontextmanager
async def hold(path: Path, *, wait_s: float = WAIT_S) -> AsyncIterator[StateFile]:
    """Hold the lock of one tree.

    Args:
        path: the file.
        wait_s: seconds to wait for somebody else.

    Raises:
        GitError: somebody else has held it for that long, or the file cannot be opened.

    Cancellation:
        The lock is given back.
    """
    try:
        handle = open_lock(path)
    except OSError as error:
        raise GitError(f"{path}: {error.strerror}") from error
    try:
        try:
            async with asyncio.timeout(wait_s):
                while not _lock(handle):  # noqa: ASYNC110 - nothing tells when another process lets go
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise GitError(
                f"{path.with_suffix('')} is in use by another process", hint="End the other night first."
            ) from error
        yield StateFile(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
