"""Brings a database to the schema that this version knows, one numbered migration and one transaction at a time.

A database of a newer schema or of another program is refused and left as it is.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import aiosqlite

from pantheon.adapters.store.reading import reading
from pantheon.core.errors import StoreError

APPLICATION_ID = 0x50414E54
"""``PANT``: marks the file as a store for ``file`` and for us."""
# One statement, so that a migration in another process falls before it or after it.
SCHEMA = (
    "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),"
    " (SELECT count(*) FROM sqlite_master)"
)


def load_migrations() -> tuple[str, ...]:
    """Return the migrations in order; number n stands at place n - 1.

    Raises:
        StoreError: the numbers have a gap; the installation is broken.
    """
    found = {
        int(entry.name[:4]): entry.read_text(encoding="utf-8")
        for entry in files("pantheon.adapters").joinpath("sql").iterdir()
        if entry.name.endswith(".sql")
    }
    if not found or sorted(found) != list(range(1, len(found) + 1)):
        raise StoreError("the store's migrations are incomplete", hint="install Pantheon again")
    return tuple(found[number] for number in sorted(found))


async def check_schema(connection: aiosqlite.Connection, path: Path) -> int:
    """Return the schema's version, 0 for an empty database.

    Raises:
        StoreError: it belongs to another program or to a newer version.
    """
    latest = len(load_migrations())
    async with reading(connection, SCHEMA) as cursor:
        [(application, version, parts)] = await cursor.fetchall()
    if application != APPLICATION_ID and (application, version, parts) != (0, 0, 0):
        raise StoreError(f"{path} is a database of another program", hint="name another file for the store")
    if version > latest:
        raise StoreError(
            f"the store {path} has schema {version}; this version knows up to {latest}",
            hint="use the newer Pantheon that wrote it",
            schema=version,
            known=latest,
        )
    return int(version)


async def migrate(connection: aiosqlite.Connection, path: Path) -> None:
    """Apply what is missing.

    Raises:
        StoreError: as ``check_schema``.
        sqlite3.Error: a migration failed; the database is as before it.
    """
    for number, script in enumerate(load_migrations(), start=1):
        try:
            await connection.execute("BEGIN IMMEDIATE")
            # Asked inside the transaction: another process may have migrated in between.
            if await check_schema(connection, path) < number:
                for statement in split_statements(script):
                    await connection.execute(statement)
                await connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                await connection.execute(f"PRAGMA user_version = {number}")
            await connection.execute("COMMIT")
        except BaseException:
            await asyncio.shield(_undo(connection))
            raise


async def _undo(connection: aiosqlite.Connection) -> None:
    """End a transaction that something broke off.

    The connection's thread works in order: once it has answered, a BEGIN or COMMIT whose caller was cancelled has been
    carried out, and it is known whether a transaction is open.
    """
    await connection.execute("SELECT 1")
    if connection.in_transaction:
        await connection.execute("ROLLBACK")


def split_statements(script: str) -> Iterator[str]:
    """Yield the statements of an SQL script."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""


async def pragma(connection: aiosqlite.Connection, name: str) -> int | str:
    """Return the value of a pragma."""
    async with reading(connection, f"PRAGMA {name}") as cursor:
        row = await cursor.fetchone()
    return 0 if row is None else row[0]
