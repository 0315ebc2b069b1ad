"""Gets a candidate tree ready for a sandbox: a ``.git`` to hide, and files that the program may write.

A mount needs something to be mounted on. Where the tree has no ``.git`` an empty folder of that name is there during
the run, and goes with it.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pantheon.core.bubblewrap import GitEntry, Identity
from pantheon.core.errors import SandboxError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GIT = ".git"


class Candidate:
    """A tree that one run is made ready for. Its methods block, and are called in a thread."""

    def __init__(self, tree: Path, identity: Identity) -> None:
        self._tree = tree
        self._identity = identity
        self._made = False
        self.git = GitEntry.FOLDER

    def take(self) -> None:
        """Make the tree ready.

        Raises:
            SandboxError: it is no folder, is reached through a link, or has a ``.git`` that is neither a folder nor a
                file.
        """
        tree, identity = self._tree, self._identity
        try:
            if not tree.is_absolute() or tree.resolve(strict=True) != tree:
                raise SandboxError(f"{tree}: the candidate tree must be an absolute path without links")
            with _opened(tree) as folder:
                self.git, self._made = _take_git(folder)
                if identity.drop:
                    _give(folder, identity)
        except OSError as error:
            raise SandboxError(
                f"{error.filename or tree}: {error.strerror}; the tree cannot be made ready"
            ) from error

    def give_back(self) -> None:
        """Remove the empty ``.git`` that was made. Raises ``SandboxError``."""
        if not self._made:
            return
        try:
            with _opened(self._tree) as folder:
                os.rmdir(_GIT, dir_fd=folder)
        except OSError as error:
            raise SandboxError(
                f"{self._tree}/{_GIT}: {error.strerror}; it was made for one run and cannot be removed"
            ) from error


@contextmanager
def _opened(tree: Path) -> Iterator[int]:
    folder = os.open(tree, _FOLDER)
    try:
        yield folder
    finally:
        os.close(folder)


def _take_git(folder: int) -> tuple[GitEntry, bool]:
    try:
        os.mkdir(_GIT, 0o755, dir_fd=folder)
    except FileExistsError:
        mode = os.stat(_GIT, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            return GitEntry.FOLDER, False
        if stat.S_ISREG(mode):
            return GitEntry.FILE, False
        raise SandboxError(
            "the candidate tree's .git is neither a folder nor a file",
            hint="A link or a device of that name is no git's doing: look at who made it, and remove it.",
        ) from None
    return GitEntry.FOLDER, True


def _give(top: int, identity: Identity) -> None:
    """Give the tree, but what is under ``.git``, to the program's user.

    A file with a second name may have it outside the tree: it stays whose it is.
    """
    os.chown(top, identity.uid, identity.gid)
    for place, folders, files, here in os.fwalk(".", dir_fd=top, follow_symlinks=False):
        if place == "." and _GIT in folders:
            folders.remove(_GIT)
        for name in (*folders, *files):
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
            alone = stat.S_ISDIR(found.st_mode) or found.st_nlink == 1
            if alone and (found.st_uid, found.st_gid) != (identity.uid, identity.gid):
                os.chown(name, identity.uid, identity.gid, dir_fd=here, follow_symlinks=False)
