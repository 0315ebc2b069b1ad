"""Reads a task file, or what is piped in, as raw lines in bounded memory.

Nothing here waits without an end: a terminal or a pipe that stays silent is asked again a few times a second
whether the reader has been stopped.
"""

import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

from pantheon.core.errors import ConfigError

CHUNK_BYTES = 1_048_576
STANDARD_INPUT = "-"
POLL_MS = 200


@contextmanager
def open_task_file(source: str, *, max_line_bytes: int, stop: Event) -> Iterator[Iterator[bytes | None]]:
    """Give the lines of a task file.

    Args:
        source: the file's path, or ``-`` for standard input.
        max_line_bytes: a longer line is dropped while it is read and given as None.
        stop: set by somebody else to end the lines early.

    Raises:
        ConfigError: there is no such file, or it cannot be read; also while the lines are taken.
    """
    try:
        descriptor = os.dup(0) if source == STANDARD_INPUT else os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"{shown_name(source)}: cannot be read: {why}") from error
    try:
        chunks = _chunks(descriptor, shown_name(source), stop)
        yield split_lines(chunks, max_line_bytes=max_line_bytes)
    finally:
        os.close(descriptor)


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
    try:
        while not stop.is_set():
            # A regular file is always ready; a pipe or a terminal only when there is something or it has ended.
            if not poller.poll(POLL_MS):
                continue
            chunk = os.read(descriptor, CHUNK_BYTES)
            if not chunk:
                return
            yield chunk
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror or error}") from error
