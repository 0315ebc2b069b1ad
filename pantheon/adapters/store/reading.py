"""One statement that reads, ended with its block however that is left."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aiosqlite


@asynccontextmanager
async def reading(
    connection: aiosqlite.Connection, sql: str, parameters: Iterable[Any] = ()
) -> AsyncIterator[aiosqlite.Cursor]:
    """Carry out a statement and yield the cursor over its rows.

    Cancellation:
        The statement is ended before the connection's next one begins: one that is left open holds the snapshot that
        it reads, and everybody else on its connection would go on seeing that state.
    """
    # The cursor first, in a visit of its own: what a cancelled ``Connection.execute`` opened nobody could close.
    async with connection.cursor() as cursor:
        await cursor.execute(sql, parameters)
        yield cursor
