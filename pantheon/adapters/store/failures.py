"""Translates what sqlite3 raises into ``StoreError``: what happened, which file, what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pantheon.core.errors import StoreError

_KNOWN: tuple[tuple[str, str, str], ...] = (
    ("SQLITE_BUSY", "is locked by another process", "see who has it open, and try again"),
    ("SQLITE_LOCKED", "is locked by another process", "see who has it open, and try again"),
    ("SQLITE_FULL", "cannot grow: the disk is full", "make room, and run the same command again"),
    ("SQLITE_READONLY", "cannot be written", "give this user the right to write the file and its folder"),
    ("SQLITE_PERM", "cannot be opened", "give this user the right to read the file and its folder"),
    ("SQLITE_CANTOPEN", "cannot be opened", "look at the folder: it must exist and be readable"),
    ("SQLITE_CORRUPT", "is damaged", "keep the file as it is and restore a copy; nothing was repaired"),
    ("SQLITE_NOTADB", "is no database", "keep the file as it is and restore a copy; nothing was repaired"),
    ("SQLITE_IOERR", "cannot be read or written", "look at the disk and the kernel's log"),
)


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Return what ``error`` means for the store at ``path``; the cause is set."""
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    what, hint = "cannot be used", "look at the file and its folder"
    for prefix, said, advice in _KNOWN:
        if name.startswith(prefix):
            what, hint = said, advice
            break
    found = StoreError(f"the store {path} {what} ({error})", hint=hint, path=str(path), sqlite=name)
    found.__cause__ = error
    return found


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn sqlite3's errors into ``StoreError``."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(path, error) from error
