"""Files of the project's own state: logs that are added to, locks, and small files that are read back.

Invariants:
- no link is followed, neither in the place of the file nor in that of its folder;
- what was opened is judged by its descriptor: a regular file, and where it is written this user's with one name and
  of mode 0600, or root's and the folder's owner's; on a file system without modes, one that nobody else can write;
- nothing waits for somebody to open the other end of a pipe.

Callers translate ``OSError``, whose words say what was there instead.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

_QUIET = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PRIVATE = 0o600
_TRIES = 10
"""Times that a lock is opened which others replace meanwhile."""
Said = TypeVar("Said")


def open_log(path: Path) -> int:
    """Return a descriptor that adds to a log and reads it; makes it, and its folder, for this user alone. Blocks.

    Raises:
        OSError: something else is in the place of either, or it cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)


def open_lock(path: Path) -> int:
    """Return a descriptor to a lock file, made where it is missing. Blocks.

    One that a copy made of links gave a second name is replaced by a fresh one, and left to whoever has that name.

    Raises:
        OSError: as ``open_log``, or somebody holds one of two names.
    """
    for _ in range(_TRIES):
        handle, found = _open_own(path, os.O_RDWR | os.O_CREAT)
        kept = False
        try:
            # Whoever replaces it meanwhile leaves nothing in its place for a moment, or another file.
            with suppress(FileNotFoundError):
                if found.st_nlink != 1:
                    _replace_lock(path, handle)
                elif os.path.samestat(found, path.lstat()):
                    _close_to_others(handle, stat.S_IMODE(found.st_mode))
                    kept = True
                    return handle
        finally:
            if not kept:
                os.close(handle)
    raise OSError(errno.EBUSY, "is replaced again and again", str(path))


def ask_lock(path: Path, read: Callable[[int], Said]) -> Said | None:
    """Return what is read from a lock file while somebody holds it; None while nobody does. Blocks.

    Args:
        path: the lock file.
        read: reads what its holder wrote, from a descriptor.

    Raises:
        OSError: as ``open_log``, or there is no such file.
    """
    descriptor = _open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read(descriptor)
    finally:
        os.close(descriptor)
    return None


def read_small(path: Path, limit: int) -> bytes:
    """Return the whole of a file.

    Args:
        path: the file.
        limit: bytes that it may have.

    Raises:
        OSError: as ``open_log``, or it is larger.
    """
    with os.fdopen(_open(path, os.O_RDONLY), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"is larger than {limit} bytes", str(path))
    return data


def read_end(path: Path, limit: int, *, since: int = 0) -> bytes:
    """Return the last ``limit`` bytes of a file, none of them before the byte ``since``. Raises ``OSError``."""
    with os.fdopen(_open(path, os.O_RDONLY), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(size - limit, min(since, size)))
        return file.read(limit)


def replace_small(path: Path, data: bytes) -> None:
    """Write a file for this user alone, whole or not at all, after a power loss too; its folder is there.

    Raises:
        OSError: it cannot be written.
    """
    folder = os.open(path.parent, _FOLDER)
    try:
        draft = f".{path.name}.{os.getpid()}-{os.urandom(6).hex()}"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _QUIET, PRIVATE, dir_fd=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(draft, dir_fd=folder)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)


def _open(path: Path, flags: int) -> int:
    if not flags & os.O_CREAT:
        return _open_any(path, flags)[0]
    handle, found = _open_own(path, flags)
    try:
        if found.st_nlink != 1:
            raise OSError(errno.EINVAL, "has a second name", str(path))
        _close_to_others(handle, stat.S_IMODE(found.st_mode))
    except BaseException:
        os.close(handle)
        raise
    return handle


def _open_own(path: Path, flags: int) -> tuple[int, os.stat_result]:
    handle, found, folder = _open_any(path, flags)
    # Root may help out in a service's folder: what its owner could write anyway.
    if found.st_uid != os.geteuid() and not (os.geteuid() == 0 and found.st_uid == folder.st_uid):
        os.close(handle)
        raise OSError(errno.EPERM, "belongs to another user", str(path))
    return handle, found


def _open_any(path: Path, flags: int) -> tuple[int, os.stat_result, os.stat_result]:
    """Return a descriptor of a regular file, what it is, and what its folder is."""
    folder = os.open(path.parent, _FOLDER)
    try:
        above = os.fstat(folder)
        handle = os.open(path.name, flags | _QUIET, PRIVATE, dir_fd=folder)
    finally:
        os.close(folder)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return handle, found, above


def _replace_lock(path: Path, handle: int) -> None:
    """Put a fresh file into the place of a lock with two names; nothing is written into the one that was there."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(
            errno.EBUSY, "has a second name, and somebody holds it, who must end first", str(path)
        ) from error
    # Whoever else found two names waits for this lock, or finds that another file has the name by now.
    if os.path.samestat(os.fstat(handle), path.lstat()):
        replace_small(path, b"")


def _close_to_others(handle: int, mode: int) -> None:
    if mode == PRIVATE:
        return
    try:
        os.fchmod(handle, PRIVATE)
    except PermissionError:
        # A file system without modes says so to whoever owns the file; what others can write is not borne there either.
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise
