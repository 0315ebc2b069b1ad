"""The one writer: takes every command that waits and commits them together.

Invariants:
- a caller hears of success only after the commit;
- while one group is being committed the next one gathers, so groups grow with the load and nobody waits for a
  timer;
- a caller that is cancelled leaves its command done or not done, never halfway; the writer goes on;
- commands are bounded: beyond ``CAPACITY`` callers wait their turn.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import aiosqlite

from pantheon.adapters.store.failures import store_error
from pantheon.adapters.store.group import GroupConnection, Groups, Pending
from pantheon.core.errors import PantheonError, StoreError

CAPACITY = 4096
"""Commands that may wait at once."""
LARGEST_GROUP = 512
"""Commands of one commit."""
SPLIT_FROM = 24
"""Commands from which only half of those that wait are taken: whoever is answered goes on working while the other half
is written, where everything at once would let loop and disk wait for each other by turns."""
TURNS = 2
"""Turns of the loop that a first command waits for company: an end that is recorded frees a slot, and the claim of the
node that starts in it comes two turns later. They cost microseconds, a commit of its own a thousand of them."""

Result = TypeVar("Result")


class Writer:
    """Feeds a ``GroupConnection`` from any number of callers.

    Args:
        connection: opened over a ``GroupConnection``; closed by the owner after ``aclose``.
        groups: the connection's hand-over.
        path: the database, for messages.
    """

    def __init__(self, connection: aiosqlite.Connection, groups: Groups, path: Path) -> None:
        self._connection = connection
        self._groups = groups
        self._path = path
        self._waiting: deque[Pending] = deque()
        self._room = asyncio.Event()
        """Set whenever commands have been taken off the queue."""
        self._wake = asyncio.Event()
        self._closing = False
        # The writer lives as long as the store, which no one TaskGroup spans; aclose waits for it.
        self._task = asyncio.get_running_loop().create_task(self._run(), name="store writer")

    async def submit(self, command: Callable[[GroupConnection], Result]) -> Result:
        """Apply ``command`` and return its result once it is durable.

        Raises:
            PantheonError: whatever the command raised; nothing of it is left.
            StoreError: its group could not be committed, or the store is closed.

        Cancellation:
            The command is done as a whole or not at all.
        """
        while len(self._waiting) >= CAPACITY:
            self._room.clear()
            await self._room.wait()
        if self._closing or self._task.done():
            raise closed_error(self._path)
        pending = Pending(command, asyncio.get_running_loop().create_future())
        self._waiting.append(pending)
        self._wake.set()
        result: Result = await pending.future
        return result

    async def aclose(self) -> None:
        """Finish what was accepted and stop. Raises nothing that a caller has not seen already."""
        self._closing = True
        self._wake.set()
        await asyncio.shield(self._task)

    async def _run(self) -> None:
        group: list[Pending] = []
        try:
            while True:
                group = self._take()
                if group:
                    await self._commit(group)
                elif self._closing:
                    return
                else:
                    self._wake.clear()
                    await self._wake.wait()
                    for _ in range(TURNS):
                        await asyncio.sleep(0)
        finally:
            for pending in (*group, *self._waiting):
                _fail(pending, closed_error(self._path))
            self._waiting.clear()
            self._room.set()

    def _take(self) -> list[Pending]:
        group: list[Pending] = []
        waiting = len(self._waiting)
        size = min(waiting if waiting < SPLIT_FROM else (waiting + 1) // 2, LARGEST_GROUP)
        while self._waiting and len(group) < size:
            pending = self._waiting.popleft()
            if not pending.future.done():
                group.append(pending)
        self._room.set()
        return group

    async def _commit(self, group: list[Pending]) -> None:
        self._groups.put(group)
        try:
            await self._connection.commit()
        except sqlite3.Error as error:
            for pending in group:
                _fail(pending, store_error(self._path, error))
            return
        for pending in group:
            if pending.error is not None:
                _fail(pending, pending.error)
            elif not pending.future.done():
                pending.future.set_result(pending.result)


def closed_error(path: Path) -> StoreError:
    """Return the error of a store that is closed."""
    return StoreError(f"the store {path} is closed", hint="open it again")


def _fail(pending: Pending, error: PantheonError) -> None:
    if not pending.future.done():
        pending.future.set_exception(error)
        # A caller cancelled in this very moment never looks; that must not be logged as a forgotten error.
        pending.future.exception()
