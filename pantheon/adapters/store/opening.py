"""Opens the database's connections with the settings that durability and readers depend on."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import aiosqlite

from pantheon.adapters.finishing import finish
from pantheon.adapters.store.failures import store_error
from pantheon.adapters.store.group import GroupConnection, Groups
from pantheon.adapters.store.migrations import check_schema, load_migrations, migrate, pragma
from pantheon.core.errors import StoreError

OLDEST_SQLITE = (3, 38)
"""The operator ``->>``; STRICT tables and RETURNING are older."""
CHECK_UP_TO_BYTES = 16 * 1024 * 1024
"""A database up to this size is checked whole when it is opened for writing."""
PAUSE_S = 0.01
"""Between two tries to switch the journal's mode."""
# No temp_store = MEMORY here: SQLite's in-memory journal makes a savepoint over 100,000 updates quadratic.
DURABLE = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA journal_size_limit = 67108864",
)


async def open_writing(path: Path, groups: Groups, *, busy_timeout_s: float) -> aiosqlite.Connection:
    """Open the writer's connection; makes, checks and migrates the database as needed.

    Args:
        path: the database; made with its folder when missing, readable by its owner only.
        groups: the writer's hand-over.
        busy_timeout_s: seconds that a write waits for another process.

    Raises:
        StoreError: the file cannot be used; it is left as it is.
    """
    size_bytes = await asyncio.to_thread(_make_file, path)
    opening = aiosqlite.connect(
        path, isolation_level=None, timeout=busy_timeout_s, factory=partial(GroupConnection, groups)
    )
    async with _opened(opening, path) as connection:
        await check_schema(connection, path)
        if size_bytes <= CHECK_UP_TO_BYTES:
            await quick_check(connection, path)
        await _keep_log(connection, path, busy_timeout_s)
        for setting in DURABLE:
            await connection.execute(setting)
        await migrate(connection, path)
        return connection


async def open_reading(path: Path, *, busy_timeout_s: float) -> aiosqlite.Connection:
    """Open a connection that cannot change anything.

    Raises:
        StoreError: there is no store of the present schema at ``path``.
    """
    uri = await asyncio.to_thread(_reading_uri, path)
    opening = aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=busy_timeout_s)
    async with _opened(opening, path) as connection:
        await connection.execute("PRAGMA query_only = ON")
        version = await check_schema(connection, path)
        if version < (latest := len(load_migrations())):
            raise StoreError(
                f"the store {path} has schema {version}; reading needs {latest}",
                hint="the next `pantheon enqueue` or night brings it up to date",
            )
        return connection


async def quick_check(connection: aiosqlite.Connection, path: Path) -> None:
    """Raise ``StoreError`` when the database is damaged. Reads all of it."""
    found = await pragma(connection, "quick_check(1)")
    if found != "ok":
        raise StoreError(
            f"the store {path} is damaged: {found}",
            hint="keep the file as it is and restore a copy; nothing was repaired",
            path=str(path),
        )


async def _keep_log(connection: aiosqlite.Connection, path: Path, busy_timeout_s: float) -> None:
    """Switch to the write-ahead log, waiting for another process that switches in this moment.

    SQLite's own time-out does not cover it: two that switch a fresh file at once would block each other, so it
    refuses without waiting.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + busy_timeout_s
    while True:
        try:
            mode = await pragma(connection, "journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or loop.time() >= give_up_at:
                raise
            await asyncio.sleep(PAUSE_S)
            continue
        if mode != "wal":
            raise StoreError(
                f"the store {path} cannot keep a write-ahead log", hint="put it on a local file system"
            )
        return


@asynccontextmanager
async def _opened(opening: aiosqlite.Connection, path: Path) -> AsyncIterator[aiosqlite.Connection]:
    """Yield the connection; close it and translate the error when the block fails."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old", hint=f"use {oldest} or newer")
    try:
        connection = await opening
    except sqlite3.Error as error:
        raise store_error(path, error) from error
    try:
        yield connection
    except BaseException as error:
        await finish(connection.close(), name="store close")
        if isinstance(error, sqlite3.Error):
            raise store_error(path, error) from error
        raise


def _reading_uri(path: Path) -> str:
    if not path.is_file():
        raise StoreError(f"there is no store at {path}", hint="the first `pantheon enqueue` makes it")
    return f"file:{quote(str(path.absolute()))}?mode=ro"


def _make_file(path: Path) -> int:
    """Make the file when it is missing, for its owner only, and return its size in bytes."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            # Not open and close: closing any descriptor of a file drops the locks that this process's other
            # connections hold on it.
            os.mknod(path, 0o600 | stat.S_IFREG)
        except FileExistsError:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise StoreError(f"the store {path} is not a regular file") from None
            return found.st_size
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(
            f"the store {path} cannot be made: {error.strerror}",
            hint="give this user the right to write there",
        ) from error
    return 0
