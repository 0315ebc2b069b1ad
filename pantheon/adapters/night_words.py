"""Words of nights for those who were not there: why one was refused, for its daemon; what went wrong, for its owner.

Invariants:
- a word names the process that left it, so that a daemon takes only its own night's;
- the record is one small file with the newest entries at its end; what is said again and again is one entry that
  counts, and the oldest entries make room.
"""

import json
import os
import re
from asyncio import to_thread
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pantheon.adapters.own_files import read_small, replace_small
from pantheon.core.daemon_judgement import Refusal
from pantheon.core.errors import PantheonError
from pantheon.core.visible import visible_line

MAX_WORD_BYTES = 65_536
MAX_ENTRIES, MAX_ENTRY_CHARS = 200, 1_000
MAX_RECORD_BYTES = 2_000_000
_HEAD = "What the daemon could not do, the newest last. It keeps this file; remove it when you like.\n"
_ENTRY = re.compile(r"(\S+ \S+ \S+)(?: to \S+ \S+ \S+, ([0-9]{1,9}) times)?  (.*)")


class RefusalFile:
    """Why the newest night of a project did not start.

    Args:
        path: the file; a word that cannot be left or read is as if nothing was said, for there is the exit code.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Leave the word of a deliberate error that passes through."""
        try:
            yield
        except PantheonError as error:
            self._leave(error)
            raise
        except BaseExceptionGroup as group:
            if (found := _first(group)) is not None:
                self._leave(found)
            raise

    async def take(self, pid: int) -> Refusal | None:
        """Return what the process left, else None."""
        return await to_thread(self._take, pid)

    def _leave(self, error: PantheonError) -> None:
        said = {"pid": os.getpid(), "code": error.code, "message": error.message, "hint": error.hint}
        with suppress(OSError):
            replace_small(self._path, json.dumps(said).encode() + b"\n")

    def _take(self, pid: int) -> Refusal | None:
        try:
            said: Mapping[str, Any] = json.loads(read_small(self._path, MAX_WORD_BYTES))
            code, message, hint = said["code"], said["message"], said["hint"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        if said.get("pid") != pid or not all(isinstance(one, str) for one in (code, message, hint)):
            return None
        return Refusal(code, message, hint)


class RecordFile:
    """What the daemon could not do, for whoever looks in the morning.

    Args:
        path: the file; its folder is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def add(self, when: str, sentence: str) -> None:
        """Add an entry, or count the newest one when it says the same.

        Args:
            when: date, time and zone, separated by single spaces.
            sentence: what happened.

        Raises:
            OSError: it cannot be written.
        """
        await to_thread(self._add, when, sentence)

    async def newest(self, since: datetime | None) -> str:
        """Return the newest entry when something was added after a time, with None ever; empty otherwise."""
        return await to_thread(self._newest, since)

    def _newest(self, since: datetime | None) -> str:
        try:
            changed_at = self._path.lstat().st_mtime
        except OSError:
            return ""
        entries = self._entries() if since is None or changed_at > since.timestamp() else []
        return visible_line(entries[-1]) if entries else ""

    def _add(self, when: str, sentence: str) -> None:
        entries = self._entries()
        said, times, first = visible_line(" ".join(sentence.split()))[:MAX_ENTRY_CHARS], 1, when
        newest = _ENTRY.fullmatch(entries[-1]) if entries else None
        if newest is not None and newest[3] == said:
            entries.pop()
            first, times = newest[1], int(newest[2] or 1) + 1
        entries.append(f"{first}{f' to {when}, {times} times' if times > 1 else ''}  {said}")
        lines = "".join(f"{one}\n" for one in entries[-MAX_ENTRIES:])
        replace_small(self._path, f"{_HEAD}{lines}".encode())

    def _entries(self) -> list[str]:
        try:
            text = read_small(self._path, MAX_RECORD_BYTES).decode("utf-8", "replace")
        except OSError:
            return []
        return [one for one in text.splitlines() if _ENTRY.fullmatch(one)]


def _first(group: BaseExceptionGroup[Any]) -> PantheonError | None:
    for one in group.exceptions:
        found = _first(one) if isinstance(one, BaseExceptionGroup) else one
        if isinstance(found, PantheonError):
            return found
    return None
