"""The queue on disk: ``<name>.jsonl`` beside ``<name>.attestation.json``; and reading task files in bounded memory.

Lines are put in place before the envelope: a kill in between leaves lines without an envelope, which no night
takes and which the next enqueue of the same content completes.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pantheon.core.errors import StoreError
from pantheon.ports.queue import BatchDraft

CHUNK_BYTES = 1_048_576
MAX_ENVELOPE_BYTES = 4_000_000
LINES, ENVELOPE = ".jsonl", ".attestation.json"


def split_lines(stream: BinaryIO, *, max_line_bytes: int) -> Iterator[bytes | None]:
    """Yield the lines of a stream without their newlines; None stands for a line that was too long to hold.

    Args:
        stream: read in chunks; never held whole.
        max_line_bytes: a longer line is dropped while it is read.
    """
    pending, dropping = b"", False
    while chunk := stream.read(CHUNK_BYTES):
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            line, pending = pending + piece, b""
            if dropping or len(line) > max_line_bytes:
                yield None
            else:
                yield line
            dropping = False
        pending += rest
        if len(pending) > max_line_bytes:
            pending, dropping = b"", True
    if dropping:
        yield None
    elif pending:
        yield pending


class FileDraft:
    """``ports.queue.BatchDraft`` in a temporary file of the queue's folder."""

    def __init__(self, folder: Path) -> None:
        handle, name = tempfile.mkstemp(prefix=".draft-", dir=folder)
        self.path = Path(name)
        self._file = os.fdopen(handle, "wb", buffering=CHUNK_BYTES)
        self._hash = hashlib.sha256()
        self._lines = 0

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    @property
    def lines(self) -> int:
        return self._lines

    def add(self, line: bytes) -> None:
        data = line + b"\n"
        self._file.write(data)
        self._hash.update(data)
        self._lines += 1

    def finish(self) -> None:
        """Make the lines durable in the temporary file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def discard(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


class FileQueue:
    """``ports.queue.QueueFolder`` over one folder.

    Args:
        folder: made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open_draft(self) -> FileDraft:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return FileDraft(self._folder)
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def keep(self, draft: BatchDraft, name: str, envelope: bytes) -> None:
        if not isinstance(draft, FileDraft):
            raise TypeError("a draft of another queue")
        try:
            draft.finish()
            draft.path.chmod(0o644)
            draft.path.replace(self._path(name, LINES))
            temporary = self._path(f".{name}", ENVELOPE)
            with temporary.open("wb") as file:
                file.write(envelope)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path(name, ENVELOPE))
            handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def names(self) -> tuple[str, ...]:
        try:
            found = [
                (path.stat().st_mtime_ns, path.name.removesuffix(ENVELOPE))
                for path in self._folder.glob(f"*{ENVELOPE}")
                if not path.name.startswith(".")
            ]
        except OSError as error:
            raise _unreadable(self._folder, error) from error
        return tuple(name for _, name in sorted(found))

    def has(self, name: str) -> bool:
        return self._path(name, LINES).is_file() and self._path(name, ENVELOPE).is_file()

    def read_envelope(self, name: str) -> bytes:
        path = self._path(name, ENVELOPE)
        try:
            with path.open("rb") as file:
                return file.read(MAX_ENVELOPE_BYTES + 1)
        except OSError as error:
            raise _unreadable(path, error) from error

    def read_lines(self, name: str) -> Iterator[bytes]:
        path = self._path(name, LINES)
        try:
            with path.open("rb") as file:
                for line in split_lines(file, max_line_bytes=16 * CHUNK_BYTES):
                    if line is None:
                        raise StoreError(f"{path}: a line is longer than any frozen line can be")
                    yield line
        except OSError as error:
            raise _unreadable(path, error) from error

    def _path(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name}{suffix}"


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be written: {error.strerror or error}")


def _unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be read: {error.strerror or error}")
