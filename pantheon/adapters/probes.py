"""Looks at the machine for ``pantheon doctor``: space, memory, programs. Reads only."""

import os
import shutil
import stat
from pathlib import Path

from pantheon.core.errors import ConfigError


def free_bytes(folder: Path) -> int:
    """Return the space that is left for this user where ``folder`` is or would be.

    Raises:
        ConfigError: no part of the path can be looked at.
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError as error:
        raise ConfigError(f"{place}: cannot be looked at: {error.strerror}") from error


def available_memory_bytes() -> int | None:
    """Return the memory that can be taken without swapping; None where the kernel does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None


def file_size(path: Path) -> int | None:
    """Return the size of a regular file in bytes; None when there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def find_program(name: str) -> str | None:
    """Return where a program is on the search path."""
    return shutil.which(name)


def is_writable(folder: Path) -> bool:
    """Tell whether this user may create files in ``folder`` or, when it is missing, make it."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def key_problem(path: Path, repository: Path) -> str | None:
    """Return what is wrong with a private key's file; None when it is sound or not there yet."""
    if path.resolve().is_relative_to(repository.resolve()):
        return f"{path} lies inside the repository"
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is not a regular file"
    if found.st_uid != os.geteuid():
        return f"{path} belongs to another user"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"{path} can be read by others"
    return None
