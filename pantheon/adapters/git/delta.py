"""Bring a folder from one commit to another by writing only the paths that differ.

Nothing here looks at the rest of the folder, so the cost does not grow with the repository. What git prints is
parsed here, and applied without following any link. Anything unexpected is an error: the caller then makes the
whole folder again.
"""

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pantheon.adapters.git.folders import open_folder, sweep_empty
from pantheon.ports.crash_points import CrashPoint, reach

_CHUNK_BYTES = 1 << 20
_MAX_HEAD_BYTES = 200


class Entry(NamedTuple):
    """What a tree has at one path."""

    mode: str
    """``100644``, ``100755``, ``120000`` (link), ``160000`` (repository), ``040000`` (folder)."""
    name: str
    """Id of the object."""


Wanted = Mapping[str, Entry | None]
"""Maps path → what must be there; None where nothing may be."""


def parse_difference(out: bytes) -> dict[str, Entry | None]:
    """Return what ``diff-tree -r -z --raw --no-renames`` says, in terms of the newer commit."""
    fields = out.split(b"\0")
    found: dict[str, Entry | None] = {}
    for meta, path in zip(fields[0::2], fields[1::2], strict=False):
        _, mode, _, name, status = meta.decode().split(" ")
        found[os.fsdecode(path)] = None if status == "D" else Entry(mode, name)
    return found


def parse_entries(out: bytes, asked: Sequence[str]) -> dict[str, Entry | None]:
    """Return what ``ls-tree -z`` says of the paths that it was ``asked`` for."""
    found: dict[str, Entry | None] = dict.fromkeys(asked)
    for line in out.split(b"\0"):
        if line:
            meta, path = line.split(b"\t", 1)
            mode, _, name = meta.decode().split(" ")
            found[os.fsdecode(path)] = Entry(mode, name)
    return found


def parse_blobs(out: bytes, names: Sequence[str]) -> list[bytes]:
    """Return what ``cat-file --batch`` says that files hold, up to the first that is missing or no file's content."""
    found, place = [], 0
    for name in names:
        head = out[place : place + _MAX_HEAD_BYTES].partition(b"\n")[0]
        if not head.startswith(f"{name} blob ".encode()):
            break
        place += len(head) + 1
        size = int(head.rsplit(b" ", 1)[1])
        found.append(out[place : place + size])
        place += size + 1
    return found


def blobs_of(wanted: Wanted) -> list[str]:
    """Return the objects that ``apply`` reads, in its order."""
    return [entry.name for _, entry in _files(wanted)]


def apply(folder: Path, wanted: Wanted, blobs: BinaryIO, stopped: Callable[[], bool]) -> None:
    """Make every path of ``wanted`` what it must be.

    Args:
        folder: the work tree.
        wanted: the paths that may differ.
        blobs: output of ``cat-file --batch`` for ``blobs_of(wanted)``.
        stopped: asked before each path; True ends the work, with the folder half done.

    Raises:
        OSError: something is in the way, or the disk refuses.
        ValueError: an object is missing.
    """
    for path in sorted(wanted, reverse=True):
        if stopped():
            return
        _remove(folder, path)
    reach(CrashPoint.CHECKOUT_MIDWAY)
    for path, entry in wanted.items():
        if entry is not None and entry.mode == "160000":
            os.close(open_folder(folder, path.split("/"), create=True))
    for path, entry in _files(wanted):
        if stopped():
            return
        _, kind, size = (*blobs.readline().decode().split(), "", "")[:3]
        if kind != "blob":
            raise ValueError(f"{path}: object {entry.name} is not there")
        _write(folder, path, entry.mode, blobs, int(size))
        blobs.read(1)


def _files(wanted: Wanted) -> list[tuple[str, Entry]]:
    return [
        (path, entry)
        for path, entry in sorted(wanted.items())
        if entry is not None and entry.mode.startswith("1") and entry.mode != "160000"
    ]


def _remove(folder: Path, path: str) -> None:
    *parts, name = path.split("/")
    try:
        above = open_folder(folder, parts)
    except (FileNotFoundError, NotADirectoryError):
        sweep_empty(folder, path)
        return
    try:
        if stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
            # Its files are paths of their own; only the empty folder of a repository goes.
            with suppress(OSError):
                os.rmdir(name, dir_fd=above)
        else:
            os.unlink(name, dir_fd=above)
    except FileNotFoundError:
        pass
    finally:
        os.close(above)
    sweep_empty(folder, path)


def _write(folder: Path, path: str, mode: str, blobs: BinaryIO, size: int) -> None:
    *parts, name = path.split("/")
    above = open_folder(folder, parts, create=True)
    try:
        if mode == "120000":
            os.symlink(_read(blobs, size), os.fsencode(name), dir_fd=above)
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(name, flags, 0o777 if mode == "100755" else 0o666, dir_fd=above)
        with os.fdopen(handle, "wb") as file:
            while size:
                piece = _read(blobs, min(size, _CHUNK_BYTES))
                file.write(piece)
                size -= len(piece)
    finally:
        os.close(above)


def _read(blobs: BinaryIO, size: int) -> bytes:
    data = blobs.read(size)
    if len(data) != size:
        raise ValueError("the objects end too early")
    return data
