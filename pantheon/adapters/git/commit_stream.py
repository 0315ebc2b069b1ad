"""A commit as the input of ``git fast-import``: one process, whatever the size of the repository."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pantheon.adapters import beneath
from pantheon.adapters.git.folders import open_folder
from pantheon.ports.clock import Clock

MAX_PATHS = 1000
MAX_BYTES = 64_000_000
IDENTITY = "Pantheon <pantheon@localhost>"


class Written(NamedTuple):
    """One path as it is on disk."""

    path: str
    mode: str | None
    """None when nothing is there."""
    data: bytes


def read_written(folder: Path, paths: Iterable[str]) -> list[Written] | None:
    """Return the paths as they are now, folders left out; None when they are too many for one stream.

    Raises:
        OSError: the disk refuses.
    """
    found, size = [], 0
    for path in sorted(paths):
        one = _read(folder, path)
        if one is not None:
            found.append(one)
            size += len(one.data)
        if len(found) > MAX_PATHS or size > MAX_BYTES:
            return None
    return found


def commit_stream(written: list[Written], *, ref: str, parent: str, message: str, at: int) -> bytes:
    """Return the stream; what git answers is three lines: the commit, its tree, its parent's tree.

    Args:
        written: the paths that may differ from the parent.
        ref: a ref to leave the commit at.
        parent: id of a commit.
        message: the commit's message, as it is.
        at: seconds since 1970 for author and committer.
    """
    parts = [
        f"commit {ref}\nmark :1\nauthor {IDENTITY} {at} +0000\ncommitter {IDENTITY} {at} +0000\n".encode()
    ]
    text = message_bytes(message)
    parts += [b"data %d\n" % len(text), text, f"\nfrom {parent}\n".encode()]
    # Deletions first: a path may be a folder now whose name a file had.
    parts += [b"D %s\n" % _quoted(one.path) for one in written if one.mode is None]
    for one in written:
        if one.mode is not None:
            head = f"M {one.mode} inline ".encode() + _quoted(one.path)
            parts += [head, b"\ndata %d\n" % len(one.data), one.data, b"\n"]
    parts.append(f'\nget-mark :1\nls :1 ""\nls {parent} ""\n'.encode())
    return b"".join(parts)


def identity(clock: Clock) -> dict[str, str]:
    """Return the environment that names author, committer and time of a commit."""
    stamp = clock.now().strftime("%Y-%m-%dT%H:%M:%S+00:00")
    values = {"NAME": "Pantheon", "EMAIL": "pantheon@localhost", "DATE": stamp}
    return {f"GIT_{who}_{key}": value for who in ("AUTHOR", "COMMITTER") for key, value in values.items()}


def message_bytes(message: str) -> bytes:
    """Return a message as git takes it; a model may have put anything into it."""
    return message.replace("\0", "\ufffd").encode("utf-8", "replace")


def parse_answer(out: bytes) -> tuple[str, bool]:
    """Return the commit, and whether its tree differs from its parent's.

    Raises:
        ValueError: it is not the answer to ``commit_stream``.
    """
    commit, tree, before = out.decode().rstrip("\n").split("\n")
    return commit, tree != before


def _read(folder: Path, path: str) -> Written | None:
    *parts, name = path.split("/")
    try:
        above = open_folder(folder, parts)
    except (FileNotFoundError, NotADirectoryError):
        return Written(path, None, b"")
    try:
        found = os.stat(name, dir_fd=above, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            return None
        if stat.S_ISLNK(found.st_mode):
            return Written(path, "120000", os.fsencode(os.readlink(name, dir_fd=above)))
        handle = beneath.open_regular(above, name)
        with os.fdopen(handle, "rb") as file:
            executable = os.fstat(handle).st_mode & stat.S_IXUSR
            data = file.read(MAX_BYTES + 1)
        return Written(path, "100755" if executable else "100644", data)
    except FileNotFoundError:
        return Written(path, None, b"")
    finally:
        os.close(above)


def _quoted(path: str) -> bytes:
    return (
        b'"' + os.fsencode(path).replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
    )
