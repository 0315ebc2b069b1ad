"""Looks at the disk for what a task's target must not be: a symbolic link, or something behind one."""

import os
import stat
from pathlib import Path


class TargetCheck:
    """Tells why a target must not be touched. Remembers folders, so that many targets are cheap.

    Args:
        root: the repository's top folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, str | None] = {}

    def __call__(self, target: str) -> str | None:
        """Return what is wrong with a target, None when nothing is; one that does not exist yet is fine.

        Args:
            target: a relative path as ``core.task.check_relative_path`` lets it through.
        """
        parent, _, _ = target.rpartition("/")
        if parent and (problem := self._folder(parent)) is not None:
            return problem
        return self._look(target, folder=False)

    def _folder(self, path: str) -> str | None:
        if path not in self._folders:
            parent = path.rpartition("/")[0]
            above = self._folder(parent) if parent else None
            self._folders[path] = above if above is not None else self._look(path, folder=True)
        return self._folders[path]

    def _look(self, path: str, *, folder: bool) -> str | None:
        try:
            mode = os.lstat(self._root / path).st_mode
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"{path} cannot be looked at: {error.strerror or error}"
        if stat.S_ISLNK(mode):
            return f"{path} is a symbolic link"
        if folder and not stat.S_ISDIR(mode):
            return f"{path} is not a folder"
        if not folder and not stat.S_ISREG(mode):
            return f"{path} is not a file"
        return None
