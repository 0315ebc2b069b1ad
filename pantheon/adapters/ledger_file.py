"""A night's ledger on disk: ``<artifacts>/<night>/ledger.jsonl``, with the signed note ``checkpoint`` beside it.

Invariants:
- lines are only added, and flushed before anybody hears of them;
- what an interrupted append left behind the last whole line is cut off when the ledger is opened, nothing else ever;
- nothing is written through a symbolic link.
"""

import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from pantheon.adapters.artifacts import ArtifactFolder
from pantheon.adapters.threads import run_to_end, take_in_thread
from pantheon.core.checkpoint import MAX_NOTE_BYTES
from pantheon.core.dsse import MAX_ENVELOPE_BYTES
from pantheon.core.errors import ArtifactError
from pantheon.ports.crash_points import CrashPoint, reach
from pantheon.ports.ledger import OpenedLedger

LEDGER, CHECKPOINT = "ledger.jsonl", "checkpoint"
KEPT_CUT_BYTES = 65_536
_NIGHT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_OPEN = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class AppendedFile:
    """``ports.ledger.LedgerFile`` over one open file.

    Args:
        handle: open for appending; owned from now on.
        path: for messages.
        folder: writes the checkpoint.
        night: the night's id.
    """

    def __init__(self, handle: int, path: Path, folder: ArtifactFolder, night: str) -> None:
        self._handle = handle
        self._path = path
        self._folder = folder
        self._night = night

    async def append(self, lines: Sequence[bytes]) -> None:
        data = b"".join(line + b"\n" for line in lines)
        await run_to_end(lambda: self._append(data))

    async def put_checkpoint(self, note: bytes) -> None:
        if not os.fstat(self._handle).st_nlink:
            raise ArtifactError(f"{self._path} was deleted while the night was writing it")
        reach(CrashPoint.CHECKPOINT_BEFORE)
        await self._folder.put_night_file(self._night, CHECKPOINT, note)
        reach(CrashPoint.CHECKPOINT_AFTER)

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back; a second time changes nothing."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def _append(self, data: bytes) -> None:
        reach(CrashPoint.LEDGER_APPEND_BEFORE)
        try:
            found = os.fstat(self._handle)
            if not found.st_nlink:
                raise ArtifactError(f"{self._path} was deleted while the night was writing it")
            before = found.st_size
            try:
                self._write(data)
                os.fdatasync(self._handle)
            except OSError:
                os.ftruncate(self._handle, before)
                raise
        except OSError as error:
            raise ArtifactError(f"{self._path} cannot be written: {error.strerror}") from error
        reach(CrashPoint.LEDGER_APPEND_AFTER)

    def _write(self, data: bytes) -> None:
        reach(CrashPoint.LEDGER_APPEND_MIDWAY)
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]


class LedgerFolder:
    """``ports.ledger.LedgerStore`` over the artifacts root.

    Args:
        root: the folder of all nights.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._artifacts = ArtifactFolder(root)

    async def open_night(self, night: str, take: Callable[[bytes], bool]) -> OpenedLedger:
        if not _NIGHT.fullmatch(night):
            raise ArtifactError(f"{night!r} cannot be the name of a night's folder")
        file, checkpoint, cut, cut_bytes = await take_in_thread(
            lambda: self._open(night, take), lambda opened: opened[0].close()
        )
        return OpenedLedger(file, checkpoint, cut, cut_bytes)

    def _open(
        self, night: str, take: Callable[[bytes], bool]
    ) -> tuple[AppendedFile, bytes | None, bytes, int]:
        folder = self._root / night
        path = folder / LEDGER
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if folder.is_symlink():
                raise ArtifactError(f"{folder} is a symbolic link")
            new = not os.path.lexists(path)
            handle = os.open(path, _OPEN, 0o644)
            try:
                cut, cut_bytes = _read_whole(handle, path, take)
                checkpoint = _read_note(folder / CHECKPOINT)
                if new:
                    _flush(folder)
                    _flush(self._root)
            except BaseException:
                os.close(handle)
                raise
        except OSError as error:
            raise ArtifactError(f"{path} cannot be opened: {error.strerror}") from error
        return self._file(handle, path, night), checkpoint, cut, cut_bytes

    def _file(self, handle: int, path: Path, night: str) -> AppendedFile:
        return AppendedFile(handle, path, self._artifacts, night)


def _read_whole(handle: int, path: Path, take: Callable[[bytes], bool]) -> tuple[bytes, int]:
    """Tell ``take`` of each whole line and cut off what follows the last one; returns what was cut."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise ArtifactError(f"{path} is not a regular file")
    whole = 0
    with os.fdopen(os.dup(handle), "rb") as file:
        while (line := file.readline(MAX_ENVELOPE_BYTES + 2)).endswith(b"\n") and take(line[:-1]):
            whole += len(line)
        file.seek(whole)
        cut = file.read(KEPT_CUT_BYTES)
    if cut:
        os.ftruncate(handle, whole)
        os.fsync(handle)
    return cut, found.st_size - whole


def _read_note(path: Path) -> bytes | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(MAX_NOTE_BYTES + 1)


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
