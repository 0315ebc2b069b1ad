"""Tells what a task's target must not be: Pantheon's own, a symbolic link, or something behind a link or a mount."""

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from pantheon.adapters import beneath

_LOOK = os.O_PATH | os.O_NOFOLLOW


class TargetCheck:
    """Tells why a target must not be touched.

    Args:
        root: the repository's top folder.
        own: relative paths of files and folders that no task may touch, with all that is in them.
    """

    def __init__(self, root: Path, own: Iterable[str] = ()) -> None:
        self._root = root
        self._own = tuple(own)

    def __call__(self, target: str) -> str | None:
        """Return what is wrong with a target, None when nothing is; one that does not exist yet is fine.

        Args:
            target: a relative path as ``core.task.check_relative_path`` lets it through.

        Raises:
            SandboxError: the kernel has no ``openat2``.
        """
        for own in self._own:
            if f"{target}/".startswith(f"{own}/"):
                return f"{target} is Pantheon's own ({own}); what decides over a change is not for a change to edit"
        try:
            top = os.open(self._root, beneath.FOLDER)
        except OSError as error:
            return f"{self._root} cannot be looked at: {error.strerror or error}"
        try:
            problem = _look(top, target, folder=False)
            parts = target.split("/")
            for count in range(1, len(parts)) if problem else ():
                # What stands in the way is named, not what lies behind it.
                above = _look(top, "/".join(parts[:count]), folder=True)
                if above is not None:
                    return above
            return problem
        finally:
            os.close(top)


def _look(top: int, path: str, *, folder: bool) -> str | None:
    try:
        handle = beneath.open_beneath(top, path, _LOOK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EXDEV:
            return f"{path} lies on another file system"
        return f"{path} cannot be looked at: {error.strerror or error}"
    try:
        mode = os.fstat(handle).st_mode
    finally:
        os.close(handle)
    if stat.S_ISLNK(mode):
        return f"{path} is a symbolic link"
    if folder and not stat.S_ISDIR(mode):
        return f"{path} is not a folder"
    if not folder and not stat.S_ISREG(mode):
        return f"{path} is not a file"
    return None
