"""The witness: a file that remembers every checkpoint, outside the artifacts and the state it bears witness of.

One JSON string a line, each a signed note. It is only ever appended to, so that the file may be made append-only
(``chattr +a``). A last line that a crash cut short is passed over, and ended before the next one is written.
"""

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from pantheon.adapters.threads import run_to_end
from pantheon.core.checkpoint import MAX_NOTE_BYTES
from pantheon.core.errors import ArtifactError
from pantheon.core.strict_json import parse_json

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class WitnessFile:
    """``ports.ledger.Witness`` over one file.

    Args:
        path: the file; made with its folder when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def remember(self, note: bytes) -> None:
        line = json.dumps(note.decode()).encode() + b"\n"
        try:
            await run_to_end(lambda: self._append(line))
        except OSError as error:
            raise ArtifactError(
                f"the witness {self._path} cannot be written: {error.strerror}",
                hint="It remembers the checkpoints of every night; make it writable for this user.",
            ) from error

    async def notes(self) -> Sequence[bytes]:
        return await run_to_end(lambda: read_witness(self._path))

    def _append(self, line: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _FLAGS, 0o600)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                line = b"\n" + line
            while line:
                line = line[os.write(handle, line) :]
            os.fsync(handle)
        finally:
            os.close(handle)


def read_witness(path: Path) -> tuple[bytes, ...]:
    """Return the notes of a witness file; none when it is missing. Lines that are no notes are passed over.

    Raises:
        ArtifactError: it cannot be read, or is no regular file.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ArtifactError(f"the witness {path} cannot be read: {error.strerror}") from error
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ArtifactError(f"the witness {path} is not a regular file")
        return tuple(note for line in file if (note := _note(line)) is not None)


def _note(line: bytes) -> bytes | None:
    if len(line) > 2 * MAX_NOTE_BYTES:
        return None
    try:
        value = parse_json(line)
    except (ValueError, RecursionError):
        return None
    return value.encode() if isinstance(value, str) else None
