"""One group of write commands, applied and committed in one visit to the database's thread.

aiosqlite visits its thread once per call, which would be several visits per command. ``GroupConnection`` goes in
through sqlite3's documented ``factory`` and gives ``commit`` its meaning here: take the group that was handed
over, apply every command of it, commit. So a group costs one visit and one flush to disk, whatever its size.

Commands seldom fail, so a group is applied without savepoints first, and what comes in numbers (``Joint``) by one
statement for all of it: the interpreter is free meanwhile, and a night's loop goes on. Only when one of the group
fails is the group undone and applied again, each command by itself. Events are collected and added all at once.

Invariants:
- a command that refuses (``PantheonError``) or breaks a constraint leaves nothing behind and fails alone;
- a command is a function of the database and may be applied more than once, of which the last time counts;
- commands of one group were all submitted before any of them was answered, so any order of them is right; those
  that stand alone come first, so that a renewal finds its lease before a settlement ends it;
- events are numbered in the order in which they were recorded;
- anything else that goes wrong, the commit included, leaves nothing of the whole group behind and is raised.

Source: ADR 0003.
"""

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from pantheon.adapters.store.rows import json_rows
from pantheon.core.errors import PantheonError, StoreError, TransitionError
from pantheon.ports.crash_points import CrashPoint, reach

_ADD_EVENT = "INSERT INTO events (at, night, subject, name, details) VALUES (?, ?, ?, ?, ?)"
_ADD_EVENTS = (
    "INSERT INTO events (at, night, subject, name, details)"
    " SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?) ORDER BY key"
)
UNSTORABLE = (ValueError, OverflowError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""What one command's own values can bring about: a lone surrogate, a number or a text that is too large."""

Command = Callable[["GroupConnection"], Any]
Event = tuple[str, str, str, str, str]
"""Time, night, subject, name, details as JSON."""


class ApartError(Exception):
    """Commands could not be carried out together; each has to be tried by itself."""


class Joint(ABC):
    """A command that one statement can carry out together with others of its class."""

    @abstractmethod
    def __call__(self, db: "GroupConnection") -> Any:
        """Carry it out alone."""

    @classmethod
    @abstractmethod
    def together(cls, db: "GroupConnection", commands: Sequence[Any]) -> Sequence[Any]:
        """Carry out commands of this class; returns their results in their order.

        Raises:
            ApartError: at least one of them does not go through as it should.
        """


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
        self.events: list[Event] = []
        """Recorded by the commands of the present group; not added yet."""

    def commit(self) -> None:
        """Apply the group that was handed over last and make it durable.

        Raises:
            sqlite3.Error: nothing of the group was applied.
        """
        group = self._groups.get_nowait()
        try:
            if not self._apply_all(group):
                self.rollback()
                self._apply_each(group)
            reach(CrashPoint.STORE_COMMIT_BEFORE)
            self.execute("COMMIT")
            reach(CrashPoint.STORE_COMMIT_AFTER)
        except BaseException:
            if self.in_transaction:
                self.rollback()
            raise

    def _begin(self) -> None:
        self.execute("BEGIN IMMEDIATE")
        self.events.clear()

    def _add_events(self) -> None:
        try:
            self.execute(_ADD_EVENTS, (json_rows(self.events),))
        except ValueError:
            self.executemany(_ADD_EVENT, self.events)
        self.events.clear()

    def _apply_all(self, group: list[Pending]) -> bool:
        """Apply a group; False when a command failed."""
        joint: dict[type[Joint], list[Pending]] = {}
        self._begin()
        try:
            for pending in group:
                if isinstance(pending.command, Joint):
                    joint.setdefault(type(pending.command), []).append(pending)
                else:
                    pending.result = pending.command(self)
            for kind, some in joint.items():
                if len(some) == 1:
                    some[0].result = some[0].command(self)
                    continue
                results = kind.together(self, [pending.command for pending in some])
                for pending, result in zip(some, results, strict=True):
                    pending.result = result
            self._add_events()
        except (ApartError, PantheonError, sqlite3.IntegrityError, *UNSTORABLE):
            return False
        return True

    def _apply_each(self, group: list[Pending]) -> None:
        self._begin()
        for pending in group:
            self._apply(pending)

    def _apply(self, pending: Pending) -> None:
        self.execute("SAVEPOINT command")
        try:
            pending.result = pending.command(self)
            self._add_events()
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
            self.events.clear()
        self.execute("RELEASE command")
