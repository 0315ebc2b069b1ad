"""Artifacts on disk: one folder an attempt, files written once or line by line, never replaced.

``<root>/<night>/<task>/<node>/<attempt>/NAME``. A name is one of the known artifact names; a file is created
with ``O_EXCL``, so that evidence cannot be overwritten, not even by a second process.
"""

import errno
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from io import FileIO
from pathlib import Path

from pantheon.adapters.new_entries import NewEntries
from pantheon.adapters.threads import run_to_end
from pantheon.core.errors import ArtifactError
from pantheon.ports.crash_points import CrashPoint, reach

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


class FolderSink:
    """``ports.artifacts.ArtifactSink`` over one folder."""

    keeps = True

    def __init__(self, root: Path, folder: str, entries: NewEntries | None = None) -> None:
        self._root = root
        self._folder = folder
        self._entries = entries or NewEntries()
        self._digests: dict[str, hashlib._Hash] = {}
        self._appended: set[str] = set()
        self._volatile: set[str] = set()
        """Artifacts with bytes that a power loss could still take."""
        self._lock = threading.Lock()
        """Held for a moment by threads that note what is volatile, and by the one that takes it over to flush it."""

    @property
    def folder(self) -> str:
        return self._folder

    async def put(self, name: str, data: bytes) -> None:
        digest = hashlib.sha256(data)
        if (known := self._digests.get(name)) is not None:
            if name in self._appended or known.digest() != digest.digest():
                raise ArtifactError(f"{self._folder}/{name} is already written")
            return
        path = self._path(name)

        def work() -> None:
            self._write(path, data, os.O_EXCL)
            self._digests[name] = digest
            self._note_volatile([name])

        await run_to_end(work)

    async def append(self, name: str, data: bytes) -> None:
        first = name not in self._digests
        if not first and name not in self._appended:
            raise ArtifactError(f"{self._folder}/{name} is already written")
        path = self._path(name)

        def work() -> None:
            self._write(path, data, os.O_EXCL if first else os.O_APPEND)
            self._appended.add(name)
            self._digests.setdefault(name, hashlib.sha256()).update(data)
            self._note_volatile([name])

        await run_to_end(work)

    def digests(self) -> Mapping[str, str]:
        return {name: digest.hexdigest() for name, digest in sorted(self._digests.items())}

    async def seal(self) -> None:
        reach(CrashPoint.SEAL_BEFORE)
        await run_to_end(self._sync)
        reach(CrashPoint.SEAL_AFTER)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ArtifactError(f"{name!r} is not the name of an artifact")
        return self._root / self._folder / name

    def _write(self, path: Path, data: bytes, flag: int) -> None:
        """Write all of ``data`` or none of it: on a full disk no bytes stay that no digest covers."""
        try:
            reach(CrashPoint.ARTIFACT_WRITE_BEFORE)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | flag, 0o644)
            with os.fdopen(handle, "wb", buffering=0) as file:
                before = os.fstat(handle).st_size
                reach(CrashPoint.ARTIFACT_WRITE_MIDWAY)
                try:
                    _write_all(file, data)
                except OSError:
                    if flag == os.O_EXCL:
                        path.unlink()
                    else:
                        file.truncate(before)
                    raise
            reach(CrashPoint.ARTIFACT_WRITE_AFTER)
        except OSError as error:
            raise ArtifactError(f"{path} cannot be written: {error.strerror}") from error

    def _note_volatile(self, names: Iterable[str]) -> None:
        with self._lock:
            self._volatile.update(names)

    def _sync(self) -> None:
        folder = self._root / self._folder
        with self._lock:
            # What is written from now on is volatile again, whatever this flush still finds of it.
            volatile, self._volatile = self._volatile, set()
        above = self._entries.above(folder)
        try:
            for path in [*(folder / name for name in sorted(volatile)), folder, *above]:
                _flush(path)
        except OSError as error:
            self._note_volatile(volatile)
            raise ArtifactError(f"{folder} cannot be made durable: {error.strerror}") from error
        self._entries.forget(above)


class ArtifactFolder:
    """``ports.artifacts.ArtifactStore`` over one root folder.

    Args:
        root: the folder of all nights; made when it is missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._entries = NewEntries()

    async def open_attempt(self, night: str, task: str, node: str, attempt: int) -> FolderSink:
        parts = [night, task.replace("/", "-"), node, f"{attempt:03}"]
        for part in parts:
            if not _PART.fullmatch(part):
                raise ArtifactError(f"{part!r} cannot be part of an artifact's path")
        folder = "/".join(parts)
        try:
            await run_to_end(partial(_make_folder, self._root, parts, self._entries.make))
        except FileExistsError as error:
            raise ArtifactError(f"{folder} exists already; attempts are never overwritten") from error
        except OSError as error:
            raise ArtifactError(f"{self._root / folder} cannot be made: {error.strerror}") from error
        return FolderSink(self._root, folder, self._entries)

    async def put_night_file(self, night: str, name: str, data: bytes) -> str:
        if not _PART.fullmatch(night) or not _NAME.fullmatch(name):
            raise ArtifactError(f"{night}/{name} is not the name of a night's file")
        path = self._root / night / name
        try:
            await run_to_end(partial(_replace, self._root, night, name, data))
        except OSError as error:
            raise ArtifactError(f"{path} cannot be written: {error.strerror}") from error
        return str(path)


def _make_folder(
    root: Path, parts: Sequence[str], make: Callable[[Path], None] = Path.mkdir, *, exist_ok: bool = False
) -> None:
    """Make a folder below ``root``, and those on the way, each with ``make``.

    A link on the way could lead evidence somewhere else and is refused.
    """
    root.mkdir(parents=True, exist_ok=True)
    place = root
    for number, part in enumerate(parts, start=1):
        place = place / part
        try:
            make(place)
        except FileExistsError:
            if place.is_symlink():
                raise NotADirectoryError(errno.ENOTDIR, "a symbolic link is on the way", str(place)) from None
            if number == len(parts) and not exist_ok:
                raise


def _write_all(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(root: Path, night: str, name: str, data: bytes) -> None:
    _make_folder(root, [night], exist_ok=True)
    path = root / night / name
    temporary = path.with_name(f".{name}.new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    reach(CrashPoint.NIGHT_FILE_BEFORE)
    temporary.replace(path)
    _flush(path.parent)
    reach(CrashPoint.NIGHT_FILE_AFTER)
