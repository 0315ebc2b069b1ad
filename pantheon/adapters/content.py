"""Reads declarative content (agents, flows, policies) from disk as raw bytes; core validates it.

Invariants:
- only regular files are read, never through a symbolic link, each up to a ceiling;
- names are relative POSIX paths, in sorted order, so that a digest over them is stable;
- hidden files and editors' backups are not content.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from pantheon.core.canonical import digest_bytes, digest_value
from pantheon.core.errors import ConfigError

MAX_FILE_BYTES = 1_000_000
MAX_FILES = 5_000
ROOMS = ("agents", "flows", "policies")
"""The folders of content that ship with Pantheon and that ``init`` copies."""


def shipped_content() -> Path:
    """Return the folder that holds the shipped ``agents/``, ``flows/`` and ``policies/``.

    An installed wheel carries them inside the package; a source checkout has them at its top level.
    """
    package = Path(__file__).resolve().parents[1]
    wheel = package / "_content"
    return wheel if wheel.is_dir() else package.parent


def load_texts(folder: Path, pattern: str = "**/*") -> Mapping[str, bytes]:
    """Return relative path -> content of every file below ``folder`` that matches.

    Args:
        folder: an existing folder.
        pattern: a glob as ``Path.glob`` takes it.

    Raises:
        ConfigError: no such folder, a symbolic link or special file among the matches, or too much.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder", hint="Lay out a repository with: pantheon init")
    found: dict[str, bytes] = {}
    for path in _matches(folder, pattern):
        if len(found) == MAX_FILES:
            raise ConfigError(f"{folder}: more than {MAX_FILES} files")
        found[path.relative_to(folder).as_posix()] = read_regular(path)
    return found


def load_folders(folder: Path) -> Mapping[str, Mapping[str, bytes]]:
    """Return name -> files of every subfolder: the shape of ``agents/``. Raises as ``load_texts``."""
    grouped: dict[str, dict[str, bytes]] = {}
    for path, data in load_texts(folder).items():
        name, separator, rest = path.partition("/")
        if separator:
            grouped.setdefault(name, {})[rest] = data
    return grouped


def digest_texts(files: Mapping[str, bytes]) -> str:
    """Return one SHA-256 over names and contents."""
    return digest_value({name: digest_bytes(data) for name, data in files.items()})


def read_regular(path: Path) -> bytes:
    """Return the content of a regular file without following a link at its end.

    Raises:
        ConfigError: it is something else, too large, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{path}: not a regular file")
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        kind = "a symbolic link" if path.is_symlink() else error.strerror
        raise ConfigError(f"{path}: cannot be read: {kind}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    return data


def _matches(folder: Path, pattern: str) -> Iterator[Path]:
    for path in sorted(folder.glob(pattern)):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") or part.endswith("~") or part == "__pycache__" for part in parts):
            continue
        if path.is_symlink():
            raise ConfigError(f"{path}: a symbolic link", hint="Put the file itself there.")
        if not path.is_dir():
            yield path
