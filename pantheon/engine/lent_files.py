"""The files of a work tree, lent to one tool call and taken back when it ends.

A thread cannot be stopped: a tool that was given up or cancelled goes on in its thread, when its work tree may
belong to another task already. What it was lent refuses it from then on.
"""

import threading

from pantheon.core.errors import ToolError
from pantheon.ports.worktree import TreeFiles


class LentFiles:
    """``ports.worktree.TreeFiles`` that answers until ``take_back``.

    Args:
        files: the files of the work tree.
    """

    def __init__(self, files: TreeFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._taken_back = False

    def take_back(self) -> None:
        """Refuse every use from now on; one file operation that is under way is finished first."""
        with self._lock:
            self._taken_back = True

    def list_files(self) -> tuple[str, ...]:
        with self._lock:
            return self._lent().list_files()

    def exists(self, path: str) -> bool:
        with self._lock:
            return self._lent().exists(path)

    def read_bytes(self, path: str, *, max_bytes: int = 1_000_000) -> bytes:
        with self._lock:
            return self._lent().read_bytes(path, max_bytes=max_bytes)

    def write_bytes(self, path: str, data: bytes) -> None:
        with self._lock:
            self._lent().write_bytes(path, data)

    def move(self, source: str, target: str) -> None:
        with self._lock:
            self._lent().move(source, target)

    def _lent(self) -> TreeFiles:
        if self._taken_back:
            raise ToolError("the call has ended; its work tree is not there any more")
        return self._files
