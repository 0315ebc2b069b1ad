"""The files of one work tree on disk, reached without following a link out of it.

Every path is opened by ``adapters.beneath``, so that a link that is swapped in at any moment is refused, not
followed. Between two system calls there is a descriptor, never a path.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pantheon.adapters import beneath
from pantheon.adapters.git.folders import open_folder
from pantheon.core.errors import ToolError
from pantheon.core.task import check_relative_path
from pantheon.ports.crash_points import CrashPoint, reach

MAX_WRITE_BYTES = 8_000_000
_NEW_FILE = 0o644
TEMPORARY = ".pantheon-new"
"""What a file is called, in its own folder, until it is whole."""


class Journal:
    """Which paths of a work tree were written, noted before each write, and the right to write at all."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        """Since the lease began."""
        self.fresh: set[str] = set()
        """Since the last commit."""
        self.unsure = False
        """Whether something else may have been written too; only a look at every file can tell."""
        self.lock = threading.Lock()
        """Held through each write, so that a snapshot lies between two of them."""
        self._closed = False

    @contextmanager
    def note(self, *paths: str) -> Iterator[None]:
        """Note ``paths`` and hold the lock. Raises ``ToolError`` after ``close``."""
        with self.lock:
            if self._closed:
                raise ToolError(f"{paths[0]}: the work tree was given back")
            self.paths.update(paths)
            self.fresh.update(paths)
            yield

    def close(self) -> None:
        """Refuse every later write; one that is under way is finished first."""
        with self.lock:
            self._closed = True


class DiskTree:
    """``ports.worktree.TreeFiles`` over a folder.

    Args:
        root: the folder; it must exist.
        journal: takes the path of every write.
    """

    def __init__(self, root: Path, journal: Journal | None = None) -> None:
        self._root = root
        self._journal = journal or Journal()

    def list_files(self) -> tuple[str, ...]:
        found, folders = [], [""]
        while folders:
            base = folders.pop()
            try:
                here = open_folder(self._root, [base[:-1]] if base else [])
            except OSError as error:
                raise _refused(base or ".", error) from error
            try:
                with os.scandir(here) as entries:
                    for entry in entries:
                        path = f"{base}{entry.name}"
                        if entry.is_dir(follow_symlinks=False):
                            if entry.name != ".git":
                                folders.append(f"{path}/")
                        elif entry.is_file(follow_symlinks=False):
                            found.append(path)
            except OSError as error:
                raise _refused(base or ".", error) from error
            finally:
                os.close(here)
        return tuple(sorted(found))

    def exists(self, path: str) -> bool:
        with self._folder_of(path, create=False, missing_ok=True) as (folder, name):
            if folder is None:
                return False
            try:
                os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                return False
            except OSError as error:
                raise _refused(path, error) from error
            return True

    def read_bytes(self, path: str, *, max_bytes: int = 1_000_000) -> bytes:
        _check_name(path)
        try:
            top = os.open(self._root, beneath.FOLDER)
            try:
                handle = beneath.open_regular(top, path)
            finally:
                os.close(top)
            try:
                data = beneath.read_up_to(handle, max_bytes + 1)
            finally:
                os.close(handle)
        except OSError as error:
            raise _refused(path, error) from error
        if len(data) > max_bytes:
            raise ToolError(f"{path}: larger than {max_bytes} bytes")
        return data

    def write_bytes(self, path: str, data: bytes) -> None:
        if len(data) > MAX_WRITE_BYTES:
            raise ToolError(f"{path}: {len(data)} bytes are more than a tool may write")
        with self._journal.note(path), self._folder_of(path, create=True) as (folder, name):
            temporary = TEMPORARY
            try:
                mode = _mode(folder, name)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                handle = os.open(temporary, flags, mode, dir_fd=folder)
            except OSError as error:
                raise _refused(path, error) from error
            try:
                with os.fdopen(handle, "wb") as file:
                    os.fchmod(handle, mode)
                    file.write(data)
                reach(CrashPoint.TREE_WRITE_BEFORE)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                reach(CrashPoint.TREE_WRITE_AFTER)
            except OSError as error:
                try:
                    os.unlink(temporary, dir_fd=folder)
                except OSError:
                    self._journal.unsure = True
                raise _refused(path, error) from error

    def move(self, source: str, target: str) -> None:
        if self.exists(target):
            raise ToolError(f"{target}: already exists")
        with (
            self._journal.note(source, target),
            self._folder_of(source, create=False) as (from_folder, from_name),
            self._folder_of(target, create=True) as (to_folder, to_name),
        ):
            try:
                beneath.check_regular(os.stat(from_name, dir_fd=from_folder, follow_symlinks=False))
                os.rename(from_name, to_name, src_dir_fd=from_folder, dst_dir_fd=to_folder)
            except OSError as error:
                raise _refused(source, error) from error

    @contextmanager
    def _folder_of(
        self, path: str, *, create: bool, missing_ok: bool = False
    ) -> Iterator[tuple[int | None, str]]:
        """Yield a descriptor of the folder that holds ``path`` and the last part of the path."""
        _check_name(path)
        *parts, name = path.split("/")
        folder: int | None = None
        try:
            folder = open_folder(self._root, parts, create=create)
        except FileNotFoundError as error:
            if not missing_ok or not self._root.is_dir():
                raise _refused(path, error) from error
        except OSError as error:
            raise _refused(path, error) from error
        try:
            yield folder, name
        finally:
            if folder is not None:
                os.close(folder)


def _check_name(path: str) -> None:
    try:
        check_relative_path(path)
        os.fsencode(path)
    except ValueError as error:
        raise ToolError(f"{path[:80]!r}: {error}") from error


def _mode(folder: int | None, name: str) -> int:
    """Return the permissions that a file has, or will have when it is new."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return _NEW_FILE
    beneath.check_regular(found)
    return found.st_mode & 0o777


def _refused(path: str, error: OSError) -> ToolError:
    return ToolError(f"{path}: {error.strerror or error}")
