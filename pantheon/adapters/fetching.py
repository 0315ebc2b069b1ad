"""What every source of a model file shares: where its bytes go, whom it tells, how bytes are compared.

Invariants:
- a source writes only into the folder of its own that it is given, and only while the model's lock is held;
- what it returns is not trusted: ``adapters.downloads`` compares size and digest.
"""

import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pantheon.adapters.threads import Stopped
from pantheon.core.catalogue import ModelEntry
from pantheon.core.errors import ArtifactError

CHUNK_BYTES = 1024 * 1024


class Progress(Protocol):
    """Hears how far a fetch is."""

    def __call__(self, done_bytes: int, total_bytes: int, label: str, /) -> None:
        """Called on the event loop, several times a second at most; ``done_bytes`` may fall when a part is torn."""
        ...


class Notice(Protocol):
    """Hears a sentence for the user: a source failed, another process is at it."""

    def __call__(self, text: str, /) -> None: ...


@dataclass(frozen=True)
class Job:
    """One try to get one model from one source."""

    entry: ModelEntry
    folder: Path
    """Exists, belongs to this model and source; what a former try left is in it."""
    progress: Progress
    notice: Notice

    @property
    def data(self) -> Path:
        """The model file in the making."""
        return self.folder / "data"


def digest_range(
    path: Path,
    offset_bytes: int,
    size_bytes: int,
    stopped: Stopped,
    tell: Callable[[int], None] | None = None,
) -> str | None:
    """Return the SHA-256 of a range of a file; None when the file ends before, is not there, or work was stopped.

    Args:
        path: a file.
        offset_bytes: where the range begins.
        size_bytes: its length.
        stopped: asked between chunks.
        tell: hears the number of bytes digested so far.

    Raises:
        ArtifactError: the file cannot be read.
    """
    digest = hashlib.sha256()
    left = size_bytes
    try:
        with path.open("rb") as file:
            file.seek(offset_bytes)
            while left:
                chunk = file.read(min(CHUNK_BYTES, left))
                if not chunk or stopped():
                    return None
                digest.update(chunk)
                left -= len(chunk)
                if tell is not None:
                    tell(size_bytes - left)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_error(path, error) from error
    return digest.hexdigest()


def write_durably(path: Path, data: bytes) -> None:
    """Create or replace a small file so that it is there whole or not at all. Raises ``OSError``."""
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable. Raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_error(path: Path, error: OSError) -> ArtifactError:
    """Return the error for a file of the models' folder that cannot be read or written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = "Make room, or choose another folder with PANTHEON_MODELS_DIR." if full else ""
    return ArtifactError(f"{path}: {error.strerror or error}", hint=hint, path=str(path))
