"""The queue on disk: ``<name>.jsonl`` beside ``<name>.attestation.json``.

Invariants:
- a file appears whole, with all its bytes on disk, or not at all;
- lines are put in place before the envelope: a kill in between leaves lines without an envelope, which no night
  takes and which the next enqueue of the same content completes;
- nothing is read or written through a symbolic link;
- a draft that a killed process left behind is removed by the next draft, one of a living process is not.
"""

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from pantheon.adapters.task_input import CHUNK_BYTES, file_chunks, split_lines
from pantheon.core.dsse import MAX_ENVELOPE_BYTES
from pantheon.core.errors import StoreError
from pantheon.ports.queue import BatchDraft

LINES, ENVELOPE, DRAFT = ".jsonl", ".attestation.json", ".draft-"
MAX_FROZEN_LINE_BYTES = 16 * CHUNK_BYTES
"""The canonical form of a line can be longer than the line: ``1e20`` becomes twenty-one digits."""


class FileDraft:
    """``ports.queue.BatchDraft`` in a temporary file of the queue's folder, locked while its process lives."""

    def __init__(self, folder: Path) -> None:
        handle, name = _locked_file(folder)
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
        try:
            self._file.write(data)
        except OSError as error:
            raise _unwritable(self.path.parent, error) from error
        self._hash.update(data)
        self._lines += 1

    def move_to(self, path: Path) -> None:
        """Make the lines durable and give them their name. Raises ``OSError``."""
        self._file.flush()
        os.fchmod(self._file.fileno(), 0o644)
        os.fsync(self._file.fileno())
        self.path.replace(path)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        # What cannot be flushed was to be forgotten anyway.
        with suppress(OSError):
            self._file.close()


class FileQueue:
    """``ports.queue.QueueFolder`` over one folder.

    Args:
        folder: made when it is missing.
        shown: the folder's name relative to the repository, for records and messages.
    """

    def __init__(self, folder: Path, *, shown: str = "queue") -> None:
        self._folder = folder
        self._shown = shown

    def open_draft(self) -> FileDraft:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._remove_stale_drafts()
            return FileDraft(self._folder)
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def keep(self, draft: BatchDraft, name: str, envelope: bytes) -> None:
        if not isinstance(draft, FileDraft):
            raise TypeError("a draft of another queue")
        try:
            draft.move_to(self._path(name, LINES))
            self._sync()
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        self.put_envelope(name, envelope)

    def put_envelope(self, name: str, envelope: bytes) -> None:
        try:
            draft = FileDraft(self._folder)
            try:
                draft.add(envelope.removesuffix(b"\n"))
                draft.move_to(self._path(name, ENVELOPE))
                self._sync()
            finally:
                draft.discard()
        except OSError as error:
            raise _unwritable(self._folder, error) from error

    def names(self) -> tuple[str, ...]:
        found: list[tuple[int, str]] = []
        try:
            for path in self._folder.glob(f"*{ENVELOPE}"):
                # One that is taken away meanwhile is no longer a name.
                with suppress(FileNotFoundError):
                    if not path.name.startswith("."):
                        found.append((path.lstat().st_mtime_ns, path.name.removesuffix(ENVELOPE)))
        except OSError as error:
            raise _unreadable(self._folder, error) from error
        return tuple(name for _, name in sorted(found))

    def has(self, name: str) -> bool:
        return all(_is_regular(self._path(name, suffix)) for suffix in (LINES, ENVELOPE))

    def lines_digest(self, name: str) -> str | None:
        path = self._path(name, LINES)
        if not os.path.lexists(path):
            return None
        with _open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def lines_path(self, name: str) -> str:
        return f"{self._shown}/{name}{LINES}"

    def read_envelope(self, name: str) -> bytes:
        with _open_regular(self._path(name, ENVELOPE)) as file:
            return file.read(MAX_ENVELOPE_BYTES + 1)

    def read_lines(self, name: str) -> Iterator[bytes]:
        path = self._path(name, LINES)
        with _open_regular(path) as file:
            for line in split_lines(file_chunks(file.read), max_line_bytes=MAX_FROZEN_LINE_BYTES):
                if line is None:
                    raise StoreError(f"{path}: a line is longer than any frozen line can be")
                yield line

    def _path(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name}{suffix}"

    def _sync(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _remove_stale_drafts(self) -> None:
        for path in self._folder.glob(f"{DRAFT}*"):
            # Locked: somebody is writing it now. Gone: somebody else was faster. Neither is this draft's business.
            with suppress(OSError, StoreError), _open_regular_raw(path) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _locked_file(folder: Path) -> tuple[int, str]:
    while True:
        handle, name = tempfile.mkstemp(prefix=DRAFT, dir=folder)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Before the lock another process may have taken the new file for a stale one.
        if os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unreadable(path, error) from error


@contextmanager
def _open_regular(path: Path) -> Iterator[BufferedReader]:
    try:
        with _open_regular_raw(path) as file:
            yield file
    except OSError as error:
        raise _unreadable(path, error) from error


@contextmanager
def _open_regular_raw(path: Path) -> Iterator[BufferedReader]:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise StoreError(f"{path} is not a regular file")
        yield file


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be written: {error.strerror or error}")


def _unreadable(path: Path, error: OSError) -> StoreError:
    why = "it is a symbolic link" if path.is_symlink() else error.strerror or str(error)
    return StoreError(f"{path} cannot be read: {why}")
