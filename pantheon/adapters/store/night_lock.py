"""One night at a time: a lock file beside the database, held by the process that runs the night.

The lock is the kernel's (``flock``), so it goes with its process however that ends. The file's text only serves
the message to the second one.
"""

import asyncio
import fcntl
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pantheon.adapters.own_files import ask_lock, open_lock
from pantheon.core.errors import StoreError
from pantheon.ports.clock import Clock

MAX_TEXT_BYTES = 4096
TRIES = 5
"""Who only asks for the holder holds the lock too, for a moment; a night outlasts that."""
PAUSE_S = 0.02


def lock_path(store: Path) -> Path:
    """Return the lock file of the store at ``store``."""
    return store.with_name(store.name + ".lock")


@asynccontextmanager
async def hold_night(store: Path, clock: Clock, *, what: str = "a night") -> AsyncIterator[None]:
    """Hold the right to run nights over the store at ``store``.

    Args:
        store: the lock lies beside it.
        clock: dates the lock.
        what: what runs under this lock, for the message to the second one.

    Raises:
        StoreError: another process holds it (the message names it), or the lock file cannot be made.

    Cancellation:
        The right is given up.
    """
    descriptor = await _take(lock_path(store), clock, what)
    try:
        yield
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)


async def night_holder(store: Path) -> str | None:
    """Return who holds the night over the store at ``store``, in words, or None."""
    return await asyncio.to_thread(_holder, lock_path(store))


async def _take(path: Path, clock: Clock, what: str) -> int:
    """Open and lock; a few system calls on a local file."""
    try:
        descriptor = open_lock(path)
    except OSError as error:
        raise StoreError(
            f"the lock {path} cannot be made: {error.strerror}",
            hint="give this user the right to write there",
        ) from error
    try:
        await _lock(descriptor, path, what)
        text = {"pid": os.getpid(), "host": socket.gethostname(), "started": clock.now().isoformat()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(text).encode() + b"\n", 0)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, OSError):
            raise StoreError(f"the lock {path} cannot be taken: {error.strerror}") from error
        raise
    return descriptor


async def _lock(descriptor: int, path: Path, what: str) -> None:
    for _ in range(TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(PAUSE_S)
        else:
            return
    who = _describe(descriptor)
    raise StoreError(
        f"{what} runs already over {path}: {who}", hint="wait for it, or stop that process", holder=who
    )


def _holder(path: Path) -> str | None:
    try:
        return ask_lock(path, _describe)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"the lock {path} cannot be read: {error.strerror}") from error


def _describe(descriptor: int) -> str:
    try:
        text = json.loads(os.pread(descriptor, MAX_TEXT_BYTES, 0))
        said = f"process {int(text['pid'])} on {text['host']!s:.64}, since {text['started']!s:.40}"
        return "".join(one for one in said if one.isprintable())
    except (ValueError, KeyError, TypeError, RecursionError):
        return "a process that has not said who it is"
