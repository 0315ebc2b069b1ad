"""Reads a task file, or what is piped in, as raw lines in bounded memory.

Nothing here waits without an end: a terminal or a pipe that stays silent is asked again a few times a second
whether the reader has been stopped, a pipe that nobody writes to is empty, and what never ends (a device, a program
that goes on writing) is refused by its kind or at a ceiling of bytes and lines.
"""

import os
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

from pantheon.core.errors import ConfigError

CHUNK_BYTES = 1_048_576
STANDARD_INPUT = "-"
MAX_FILE_BYTES = 268_435_456
MAX_LINES = 1_000_000
"""Ceilings on one task file: ten times what a night of many thousands of tasks has."""
POLL_MS = 200
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@contextmanager
def open_task_file(source: str, *, max_line_bytes: int, stop: Event) -> Iterator[Iterator[bytes | None]]:
    """Give the lines of a task file.

    Args:
        source: the file's path, or ``-`` for standard input.
        max_line_bytes: a longer line is dropped while it is read and given as None.
        stop: set by somebody else to end the lines early.

    Raises:
        ConfigError: there is no such file, it is neither a file nor a pipe, or it cannot be read; while the lines
            are taken, it is over ``MAX_FILE_BYTES`` or ``MAX_LINES``.
    """
    name = shown_name(source)
    try:
        # Not blocking: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.dup(0) if source == STANDARD_INPUT else os.open(source, _OPEN)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"{name}: cannot be read: {why}") from error
    try:
        _check_kind(descriptor, name, piped=source == STANDARD_INPUT)
        chunks = _chunks(descriptor, name, stop)
        yield _counted(split_lines(chunks, max_line_bytes=max_line_bytes), name)
    finally:
        os.close(descriptor)


def _check_kind(descriptor: int, name: str, *, piped: bool) -> None:
    mode = os.fstat(descriptor).st_mode
    if (
        stat.S_ISREG(mode)
        or stat.S_ISFIFO(mode)
        or (piped and (stat.S_ISSOCK(mode) or os.isatty(descriptor)))
    ):
        return
    kind = (
        "a folder"
        if stat.S_ISDIR(mode)
        else "a device"
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
        else "no file"
    )
    raise ConfigError(
        f"{name}: cannot be read: it is {kind}",
        hint="Task lines come from a regular file, or through a pipe: pantheon enqueue - < FILE",
    )


def _counted(lines: Iterator[bytes | None], name: str) -> Iterator[bytes | None]:
    for number, line in enumerate(lines, 1):
        if number > MAX_LINES:
            raise ConfigError(
                f"{name}:{number}: line: more than {MAX_LINES} lines; nothing was enqueued",
                hint="Enqueue it in parts.",
            )
        yield line


def shown_name(source: str) -> str:
    """Return what messages call a source."""
    return "stdin" if source == STANDARD_INPUT else source


def split_lines(chunks: Iterator[bytes], *, max_line_bytes: int) -> Iterator[bytes | None]:
    """Yield lines without their newlines; None stands for a line that was too long to hold.

    Args:
        chunks: the file's bytes in pieces of any size.
        max_line_bytes: a longer line is dropped while it is read.
    """
    pending, dropping = b"", False
    for chunk in chunks:
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            line, pending = pending + piece, b""
            yield None if dropping or len(line) > max_line_bytes else line
            dropping = False
        if not dropping:
            pending += rest
            if len(pending) > max_line_bytes:
                pending, dropping = b"", True
    if dropping:
        yield None
    elif pending:
        yield pending


def file_chunks(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """Yield what a reading function gives until it gives nothing."""
    while chunk := read(CHUNK_BYTES):
        yield chunk


def _chunks(descriptor: int, name: str, stop: Event) -> Iterator[bytes]:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    taken = 0
    try:
        while not stop.is_set():
            # A regular file is always ready; a pipe or a terminal only when there is something or it has ended.
            # A pipe that no writer ever had is never ready: reading it, which must not block, tells that it is empty.
            if not poller.poll(POLL_MS) and os.get_blocking(descriptor):
                continue
            try:
                chunk = os.read(descriptor, CHUNK_BYTES)
            except BlockingIOError:
                continue
            if not chunk:
                return
            taken += len(chunk)
            if taken > MAX_FILE_BYTES:
                raise ConfigError(
                    f"{name}: line: the file is over {MAX_FILE_BYTES} bytes; nothing was enqueued",
                    hint="Enqueue it in parts.",
                )
            yield chunk
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror or error}") from error
