"""Artifacts on disk, read without trusting them.

Invariants:
- nothing outside the root is read: each part of the path is opened on its own, and no link is followed;
- only regular files are read, never more than was asked for, so that a pipe or a device cannot hold a reader up;
- what cannot be read becomes a problem in words.
"""

import asyncio
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from pantheon.core.errors import ArtifactError
from pantheon.ports.evidence import Piece, Portion

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FolderEvidence:
    """``ports.evidence.EvidenceReader`` over the artifacts root.

    Args:
        root: the folder of all nights; it may be missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    async def read_attempt(self, folder: str, wanted: Mapping[str, Portion]) -> Mapping[str, Piece]:
        return await asyncio.to_thread(self._read, folder, wanted)

    def _read(self, folder: str, wanted: Mapping[str, Portion]) -> Mapping[str, Piece]:
        try:
            with ExitStack() as opened:
                handle = self._open_folder(folder, opened)
                found = {name: _read_piece(handle, name, portion) for name, portion in wanted.items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            return _refuse(wanted, f"the folder cannot be opened: {error.strerror}")
        except ArtifactError as error:
            return _refuse(wanted, error.message)
        return {name: piece for name, piece in found.items() if piece is not None}

    def _open_folder(self, folder: str, opened: ExitStack) -> int:
        parts = folder.split("/")
        if "\0" in folder or any(part in ("", ".", "..") for part in parts):
            raise ArtifactError(f"{folder!r} is not a folder of artifacts")
        # The root itself may be reached through links: it is the owner's own choice.
        handle = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, handle)
        for part in parts:
            handle = os.open(part, _FOLDER, dir_fd=handle)
            opened.callback(os.close, handle)
        return handle


def _refuse(wanted: Mapping[str, Portion], problem: str) -> Mapping[str, Piece]:
    return dict.fromkeys(wanted, Piece(b"", 0, problem))


def _read_piece(folder: int, name: str, portion: Portion) -> Piece | None:
    try:
        handle = os.open(name, _FILE, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Piece(b"", 0, f"cannot be opened: {error.strerror}")
    try:
        return _read_portion(handle, portion)
    except OSError as error:
        return Piece(b"", 0, f"cannot be read: {error.strerror}")
    finally:
        os.close(handle)


def _read_portion(handle: int, portion: Portion) -> Piece:
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        return Piece(b"", 0, "is not a regular file")
    with os.fdopen(handle, "rb", closefd=False) as file:
        if portion.tail and facts.st_size > portion.max_bytes:
            file.seek(facts.st_size - portion.max_bytes)
        data = file.read(portion.max_bytes)
    # An attempt that runs may have grown the file since.
    return Piece(data, max(facts.st_size, len(data)))
