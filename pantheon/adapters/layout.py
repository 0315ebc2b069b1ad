"""Lays files out in a repository without ever replacing one.

Invariants:
- a file appears whole, with all its bytes on disk, or not at all;
- what exists stays as it is, equal or not; the answer says which;
- nothing is written through a symbolic link.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pantheon.adapters.content import read_regular
from pantheon.core.errors import ConfigError
from pantheon.core.task import check_relative_path


class Placement(StrEnum):
    """What became of one file."""

    CREATED = "created"
    KEPT = "kept"
    """It was there already, with the same bytes."""
    DIFFERENT = "different"
    """It was there already, with other bytes, and still is."""


@dataclass(frozen=True)
class PlacedFile:
    """One file of the layout."""

    path: str
    placement: Placement


def lay_out(root: Path, files: Mapping[str, bytes], *, dry_run: bool = False) -> tuple[PlacedFile, ...]:
    """Create every file that is not there yet.

    Args:
        root: folder that the paths are relative to.
        files: relative path -> content.
        dry_run: only say what would become of each.

    Raises:
        ConfigError: a symbolic link or something that is no file is in the way, or the disk refuses.
    """
    for path in files:
        check_relative_path(path)
        _check_way(root, path)
    return tuple(PlacedFile(path, _place(root / path, data, dry_run)) for path, data in files.items())


def make_folders(root: Path, folders: Mapping[str, int]) -> None:
    """Create folders that are not there yet. Args: relative path -> mode. Raises as ``lay_out``."""
    for path, mode in folders.items():
        check_relative_path(path)
        _check_way(root, f"{path}/x")
        try:
            (root / path).mkdir(mode=mode, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{root / path}: cannot be made: {error.strerror}") from error


def _check_way(root: Path, path: str) -> None:
    place = root
    for part in path.split("/")[:-1]:
        place = place / part
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise ConfigError(f"{place}: in the way: not a folder", hint="Move it aside and try again.")


def _place(path: Path, data: bytes, dry_run: bool) -> Placement:
    if os.path.lexists(path):
        return Placement.KEPT if read_regular(path) == data else Placement.DIFFERENT
    if dry_run:
        return Placement.CREATED
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".pantheon-new-") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
            # A link, not a rename: it fails where another process was faster, instead of replacing its file.
            os.link(file.name, path)
    except FileExistsError:
        return _place(path, data, dry_run)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
    return Placement.CREATED
