"""One group of write commands, applied and committed in one visit to the database's thread.

aiosqlite visits its thread once per call, which would be several visits per command. ``GroupConnection`` goes in
through sqlite3's documented ``factory`` and gives ``commit`` its meaning here: take the group that was handed
over, apply every command of it, commit. So a group costs one visit and one flush to disk, whatever its size.

Invariants:
- a command that refuses (``PantheonError``) or breaks a constraint leaves nothing behind and fails alone;
- anything else that goes wrong, the commit included, leaves nothing of the whole group behind and is raised.

Source: ADR 0003.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from pantheon.core.errors import PantheonError, StoreError, TransitionError
from pantheon.ports.crash_points import CrashPoint, reach

UNSTORABLE = (ValueError, OverflowError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""What one command's own values can bring about: a lone surrogate, a number or a text that is too large."""

Command = Callable[[sqlite3.Connection], Any]


@dataclass(eq=False, slots=True)
class Pending:
    """A command that a caller waits for."""

    command: Command
    future: "asyncio.Future[Any]"
    result: Any = None
    error: PantheonError | None = None


Groups = SimpleQueue[list[Pending]]


class GroupConnection(sqlite3.Connection):
    """A connection whose ``commit`` applies and commits the next group.

    Args:
        groups: where groups are handed over.
        database: as for ``sqlite3.connect``; so are the rest.
    """

    def __init__(self, groups: Groups, database: str, **options: Any) -> None:
        super().__init__(database, **options)
        self._groups = groups

    def commit(self) -> None:
        """Apply the group that was handed over last and make it durable.

        Raises:
            sqlite3.Error: nothing of the group was applied.
        """
        group = self._groups.get_nowait()
        self.execute("BEGIN IMMEDIATE")
        try:
            for pending in group:
                self._apply(pending)
            reach(CrashPoint.STORE_COMMIT_BEFORE)
            self.execute("COMMIT")
            reach(CrashPoint.STORE_COMMIT_AFTER)
        except BaseException:
            if self.in_transaction:
                self.rollback()
            raise

    def _apply(self, pending: Pending) -> None:
        self.execute("SAVEPOINT command")
        try:
            pending.result = pending.command(self)
        except PantheonError as error:
            pending.error = error
        except sqlite3.IntegrityError as error:
            pending.error = TransitionError(f"the store refuses what contradicts it: {error}")
            pending.error.__cause__ = error
        except UNSTORABLE as error:
            pending.error = StoreError(f"a value cannot be stored: {error}")
            pending.error.__cause__ = error
        if pending.error is not None:
            self.execute("ROLLBACK TO command")
        self.execute("RELEASE command")
