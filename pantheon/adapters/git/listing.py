"""What the user's work tree holds, read by day: where it begins and which files git would show.

Blocking on purpose: the command line calls it before there is an event loop.
"""

import os
import re
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pantheon.adapters.git.command import find_git, git_environment
from pantheon.core.errors import ConfigError, GitError

TIMEOUT_S = 60
_QUIET = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false")


@dataclass(frozen=True)
class ListedFile:
    """One path that git tracks or would track."""

    path: str
    """Relative POSIX path; bytes that are not UTF-8 as surrogates."""
    kind: Literal["file", "link", "other", "missing"]


def find_work_tree(start: Path) -> Path:
    """Return the top folder of the work tree around ``start``.

    Raises:
        ConfigError: ``start`` is in no work tree, or in a bare repository.
    """
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / ".git").exists():
            return folder
        if (
            folder.name != ".git"
            and (folder / "HEAD").is_file()
            and (folder / "objects").is_dir()
            and (folder / "refs").is_dir()
        ):
            raise ConfigError(
                f"{folder} is a bare repository: there are no files to work on in it",
                hint=f"Work in a clone of it: git clone {folder} DIR && cd DIR",
            )
    raise ConfigError(
        f"{here} is not in a git repository",
        hint=f"Go to one, name one (pantheon -C DIR ...), or make one: git -C {here} init",
    )


def find_git_folder(root: Path) -> Path:
    """Return the folder that holds a repository's objects and branches, all its work trees' common one.

    Raises:
        GitError: ``root`` is in no repository.
    """
    out = _git("rev-parse", "--path-format=absolute", "--git-common-dir", root=root)
    return Path(os.fsdecode(out).removesuffix("\n"))


def list_work_tree(root: Path) -> tuple[ListedFile, ...]:
    """Return tracked files and those that are neither tracked nor ignored, sorted.

    Raises:
        GitError: git fails, or takes longer than a minute.
    """
    out = _git("ls-files", "-co", "--exclude-standard", "-z", root=root)
    paths = sorted({os.fsdecode(name) for name in out.split(b"\0") if name})
    return tuple(ListedFile(path, _kind(root / path)) for path in paths)


def list_tracked(root: Path, folder: str) -> tuple[str, ...]:
    """Return the tracked files in a folder, sorted, or the one of that very name.

    Args:
        root: the work tree.
        folder: relative POSIX path.

    Raises:
        GitError: git fails, or takes longer than a minute.
    """
    out = _git("ls-files", "-z", "--", f":(literal){folder}", root=root)
    return tuple(sorted(os.fsdecode(name) for name in out.split(b"\0") if name))


def head_commit(root: Path) -> str | None:
    """Return the commit that is checked out; None in a repository without any."""
    out = _git("rev-parse", "--verify", "--quiet", "HEAD^{commit}", root=root, ok=(0, 1))
    return out.decode().strip() or None


def git_version() -> tuple[int, ...]:
    """Return git's version as numbers. Raises ``GitError`` when git is not there."""
    out = _git("--version").decode("utf-8", "replace")
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", out)
    if match is None:
        raise GitError(f"git calls itself {out.strip()!r}")
    return tuple(int(part) for part in match.groups() if part)


def _git(*args: str, root: Path | None = None, ok: Sequence[int] = (0,)) -> bytes:
    place = {} if root is None else {"GIT_DIR": str(root / ".git"), "GIT_WORK_TREE": str(root)}
    try:
        done = subprocess.run(
            [find_git(), *_QUIET, *args],
            env=git_environment(place),
            cwd=root or "/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {args[0]} did not finish within {TIMEOUT_S} s") from error
    except OSError as error:
        raise GitError(f"git {args[0]} could not be started: {error.strerror or error}") from error
    if done.returncode not in ok:
        said = done.stderr.decode("utf-8", "replace").strip()[:500]
        raise GitError(f"git {args[0]} failed ({done.returncode}): {said}")
    return done.stdout


def _kind(path: Path) -> Literal["file", "link", "other", "missing"]:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return "missing"
    if stat.S_ISLNK(mode):
        return "link"
    return "file" if stat.S_ISREG(mode) else "other"
