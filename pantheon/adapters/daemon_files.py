"""Files that the daemon looks at and keeps: a cheap stamp of what may have changed, and when it was last seen."""

import json
import stat
from asyncio import to_thread
from collections.abc import Hashable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pantheon.adapters.own_files import read_small, replace_small
from pantheon.core.errors import StoreError

MAX_BYTES = 4_096


def stamp_files(paths: Sequence[Path]) -> Hashable:
    """Return a value that differs when one of the files or folders was replaced, grew, or lost or gained a name.

    An empty file counts as none: whoever only reads a store leaves an empty log beside it.
    """
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    if stat.S_ISREG(found.st_mode) and not found.st_size:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class LastSeen:
    """``ports.daemon.Remembered`` in one small file, replaced whole.

    Args:
        path: the file; its folder is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def last_seen(self) -> datetime | None:
        """Return what the file says; a file that is damaged says nothing, and is replaced."""
        return await to_thread(self._read)

    async def keep_last_seen(self, now: datetime) -> None:
        await to_thread(self._write, now)

    def _read(self) -> datetime | None:
        try:
            kept = datetime.fromisoformat(json.loads(read_small(self._path, MAX_BYTES))["last_seen"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return kept.astimezone(UTC) if kept.tzinfo is not None else None

    def _write(self, now: datetime) -> None:
        try:
            replace_small(self._path, json.dumps({"last_seen": now.isoformat()}).encode() + b"\n")
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from error
