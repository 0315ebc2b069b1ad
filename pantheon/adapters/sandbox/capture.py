"""Reads what a program says up to a ceiling, so that no flood of output fills this process's memory."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK_BYTES = 65_536


class FloodError(Exception):
    """More came than is kept. Caught where the run is ended; never leaves this package."""


class Capture:
    """The reading end of one pipe, and what came out of it.

    Args:
        reader: of the pipe.
        write_end: descriptor for the program; ``close_write_end`` once it has it.
        cap_bytes: bytes that are kept.
    """

    def __init__(self, reader: asyncio.StreamReader, write_end: int, cap_bytes: int) -> None:
        self._reader = reader
        self._cap_bytes = cap_bytes
        self._kept = bytearray()
        self.write_end = write_end
        self.truncated = False

    @property
    def data(self) -> bytes:
        """The bytes that were kept."""
        return bytes(self._kept)

    def close_write_end(self) -> None:
        """Close this process's own copy, so that the pipe ends with the program."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    async def drain(self) -> None:
        """Read until the pipe is closed. Raises ``FloodError`` at the first byte too many."""
        while chunk := await self._reader.read(CHUNK_BYTES):
            room = self._cap_bytes - len(self._kept)
            self._kept += chunk[:room]
            if len(chunk) > room:
                self.truncated = True
                raise FloodError


@asynccontextmanager
async def open_capture(cap_bytes: int) -> AsyncIterator[Capture]:
    """Make a pipe that is closed at the end, whoever still holds its other side."""
    loop = asyncio.get_running_loop()
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    reader = asyncio.StreamReader(limit=CHUNK_BYTES)
    capture = Capture(reader, write_end, cap_bytes)
    try:
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
        )
        try:
            yield capture
        finally:
            transport.close()
    finally:
        capture.close_write_end()
