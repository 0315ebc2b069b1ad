"""Puts the files of a service in place and takes them away again, remembering what it wrote.

Invariants:
- a file that somebody else wrote, or changed after it was put in place, is never replaced and never removed;
- the manifest stands before the first file does, so that whatever was begun can be taken away;
- nothing is followed through a symbolic link; a manifest names only files that an installation could have written.
"""

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pantheon.adapters.content import read_regular
from pantheon.core.errors import ConfigError, PantheonError

RUNNING_SYSTEMD = Path("/run/systemd/system")
COMMAND_S = 90
MAX_MANIFEST_BYTES = 100_000


class Standing(StrEnum):
    """How a file is, compared with what is wanted there."""

    MISSING = "create"
    SAME = "same"
    OURS = "update"
    """Written by an earlier installation, and not changed since."""
    FOREIGN = "foreign"
    """Somebody else's, or changed by somebody."""


@dataclass(frozen=True)
class Manifest:
    """What an installation wrote."""

    path: Path
    digests: Mapping[str, tuple[str, ...]]
    """Path below the root -> SHA-256; several while an update is under way."""
    repository: str = ""


def read_manifest(path: Path) -> Manifest:
    """Return what was installed; empty when nothing was.

    Raises:
        ConfigError: the file is damaged.
    """
    if not os.path.lexists(path):
        return Manifest(path, {})
    try:
        kept = json.loads(read_regular(path)[:MAX_MANIFEST_BYTES])
        digests = {str(name): tuple(map(str, digest)) for name, digest in kept["files"].items()}
        return Manifest(path, digests, str(kept["repository"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"{path}: damaged; it says what was installed", hint="Restore it, or remove it."
        ) from error


def standing(root: Path, name: str, content: bytes, manifest: Manifest) -> Standing:
    """Return how a file is."""
    path = root / name
    if not os.path.lexists(path):
        return Standing.MISSING
    if path.is_symlink() or not path.is_file():
        return Standing.FOREIGN
    found = _digest(read_regular(path))
    if found == _digest(content):
        return Standing.SAME
    return Standing.OURS if found in manifest.digests.get(name, ()) else Standing.FOREIGN


def put_in_place(root: Path, files: Mapping[str, bytes], manifest: Manifest, *, repository: str) -> None:
    """Write the manifest, then every file; the caller has looked at each one's standing.

    Raises:
        ConfigError: the disk refuses, or a symbolic link is in the way.
    """
    wanted = {name: (_digest(data),) for name, data in files.items()}
    both = {name: (*manifest.digests.get(name, ()), *digest) for name, digest in wanted.items()}
    _keep(manifest.path, {**manifest.digests, **both}, repository)
    for name, data in files.items():
        _check_way(root, name)
        _write(root / name, data)
    _keep(manifest.path, {**manifest.digests, **wanted}, repository)


def take_away(
    root: Path, manifest: Manifest, may_remove: Callable[[str], bool]
) -> tuple[list[str], list[str]]:
    """Remove every file that is as it was written, and the manifest when nothing is left of it.

    Args:
        root: what the manifest's paths are below.
        manifest: what was written.
        may_remove: whether an installation could have written a path at all.

    Returns:
        What was removed (or gone already), and what was left because it was changed.

    Raises:
        ConfigError: the manifest names something that no installation writes, or the disk refuses.
    """
    for name in manifest.digests:
        if not may_remove(name) or ".." in Path(name).parts:
            raise ConfigError(
                f"{manifest.path}: names {name!r}, which no installation writes; nothing was removed",
                hint="Somebody has altered it. Remove the files by hand.",
            )
        _check_way(root, name)
    removed, left = [], []
    for name, digests in manifest.digests.items():
        path = root / name
        if os.path.lexists(path):
            if path.is_symlink() or not path.is_file() or _digest(read_regular(path)) not in digests:
                left.append(name)
                continue
            _unlink(path)
        removed.append(name)
    if not left:
        _unlink(manifest.path)
    return removed, left


def run_commands(commands: Sequence[Sequence[str]], *, tolerant: bool = False) -> None:
    """Run commands one after the other.

    Args:
        commands: each with its arguments.
        tolerant: whether one that fails is passed over.

    Raises:
        PantheonError: one failed or took too long; it and what it said are named.
    """
    for command in commands:
        shown = " ".join(command)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            if tolerant:
                continue
            raise PantheonError(f"{shown}: {error}") from error
        if done.returncode and not tolerant:
            raise PantheonError(f"{shown}: exit code {done.returncode}: {done.stderr.strip()[:500]}")


def systemd_runs() -> bool:
    """Tell whether this machine was started by systemd."""
    return RUNNING_SYSTEMD.is_dir()


def _keep(path: Path, digests: Mapping[str, tuple[str, ...]], repository: str) -> None:
    _write(path, (json.dumps({"repository": repository, "files": digests}, indent=1) + "\n").encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _check_way(root: Path, name: str) -> None:
    place = root
    for part in Path(name).parts[:-1]:
        place /= part
        if place.is_symlink():
            raise ConfigError(f"{place}: a symbolic link is in the way", hint="Replace it by a folder.")


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".pantheon-new-", delete=False) as file:
            draft = Path(file.name)
            try:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
                draft.replace(path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from error


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        if path.parent.name.endswith((".service.d", ".timer.d")) and not any(path.parent.iterdir()):
            path.parent.rmdir()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be removed: {error.strerror or error}") from error
