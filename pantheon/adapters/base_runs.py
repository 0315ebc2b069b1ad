"""``ports.base_runs.BaseRuns`` in a folder of the project's state: one file a key.

A file is written beside its place, flushed, and renamed to it: a reader finds the old bytes or the new ones.
"""

import os
import re
import secrets
import stat
from pathlib import Path

from pantheon.adapters.threads import run_to_end
from pantheon.core.errors import StoreError

MAX_FILES = 64
MAX_BYTES = 64 << 20
_KEY = re.compile(r"[0-9a-f]{64}")
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class BaseRunFolder:
    """What tests said on base commits.

    Args:
        folder: made when it is missing; nobody else writes there.
        max_files: so many keys are kept; the ones that were written longest ago are forgotten.
    """

    def __init__(self, folder: Path, *, max_files: int = MAX_FILES) -> None:
        self._folder = folder
        self._max_files = max_files

    async def get(self, key: str) -> bytes | None:
        path = self._path(key)
        try:
            return await run_to_end(lambda: _read(path))
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error

    async def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        if len(data) > MAX_BYTES:
            raise StoreError(f"{path}: {len(data)} bytes are more than are kept ({MAX_BYTES})")
        try:
            await run_to_end(lambda: self._write(path, data))
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}") from error

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise StoreError(f"{key[:80]!r} is no key of a test run")
        return self._folder / f"{key}.json"

    def _write(self, path: Path, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        self._forget(keep=path.name)

    def _forget(self, keep: str) -> None:
        """Forget the oldest, and what a killed process left half written."""
        found = []
        for entry in os.scandir(self._folder):
            if entry.name.endswith((".json", ".new")) and entry.name != keep:
                found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
        for _, name in sorted(found, reverse=True)[self._max_files - 1 :]:
            (self._folder / name).unlink(missing_ok=True)


def _read(path: Path) -> bytes | None:
    try:
        handle = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            return None
        return file.read(MAX_BYTES)
