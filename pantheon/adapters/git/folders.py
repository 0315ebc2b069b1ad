"""Reach, and remove, folders of a work tree; ``adapters.beneath`` keeps each way inside it."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from pantheon.adapters import beneath


def open_folder(root: Path, parts: Sequence[str], *, create: bool = False) -> int:
    """Return a descriptor of a folder below ``root``; the caller closes it.

    Args:
        root: where the way begins.
        parts: names of the folders on the way, outermost first.
        create: make those that are missing.

    Raises:
        OSError: a part is missing, a link, or no folder.
        SandboxError: the kernel has no ``openat2``.
    """
    top = os.open(root, beneath.FOLDER)
    try:
        return beneath.open_folder(top, parts, create=create)
    finally:
        os.close(top)


def sweep_empty(root: Path, path: str) -> None:
    """Remove the folders that hold ``path``, innermost first, as far as they are empty. Never ``root``."""
    *parts, _ = path.split("/")
    while parts:
        name = parts.pop()
        try:
            above = open_folder(root, parts)
        except OSError:
            continue
        try:
            os.rmdir(name, dir_fd=above)
        except FileNotFoundError:
            continue
        except OSError:
            return
        finally:
            os.close(above)


def refuse_shared(root: Path) -> None:
    """Look at every file below ``root``. Raises ``OSError`` for one that has a second name, which may be outside."""
    waiting = [root]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_nlink > 1:
                    name = os.path.relpath(entry.path, root)
                    raise OSError(errno.EMLINK, f"{name} has other hard links")


def remove_tree(root: Path) -> None:
    """Remove a folder with all that is in it, whatever its depth and the modes of its folders.

    Raises:
        OSError: something cannot be removed.
    """
    waiting, found = [root], []
    while waiting:
        here = waiting.pop()
        here.chmod(0o700)
        found.append(here)
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(here / entry.name)
                else:
                    Path(entry.path).unlink()
    for here in reversed(found):
        here.rmdir()


def remove_named(root: Path, name: str) -> None:
    """Remove every entry called ``name`` below ``root``. Raises ``OSError``."""
    waiting = [root]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                folder = entry.is_dir(follow_symlinks=False)
                if entry.name != name:
                    if folder:
                        waiting.append(Path(entry.path))
                elif folder:
                    remove_tree(Path(entry.path))
                else:
                    Path(entry.path).unlink()
