"""Reads which commits a night has left on its branch, out of a repository that may be anybody's."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pantheon.adapters.git.command import PLAIN_READING, find_git, git_environment
from pantheon.core.errors import GitError
from pantheon.core.verify_outside import LandedCommit

TIMEOUT_S = 120
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,250}")
_TRAILER = "%(trailers:key={},valueonly,unfold,separator=%x20)"
_TRAILERS = ("Pantheon-Night", "Pantheon-Checkpoint", "Pantheon-Undo", "Pantheon-Undo-Attestation")
_FORMAT = "%x00".join(("%H", "%P", "%T", *map(_TRAILER.format, _TRAILERS)))


def read_landed(root: Path, branch: str, base: str) -> Sequence[LandedCommit] | None:
    """Return the commits of a branch that are not in its base, the oldest first; None where there is no such branch.

    Args:
        root: a repository.
        branch: its short name.
        base: a commit.

    Raises:
        GitError: it is no repository, or git does not answer.
    """
    if not _BRANCH.fullmatch(branch) or not _COMMIT.fullmatch(base):
        raise GitError(f"{branch!r} from {base!r} cannot be a night's branch")
    ref = f"refs/heads/{branch}"
    if _git(root, "rev-parse", "--git-dir")[0]:
        raise GitError(f"{root} is no git repository")
    if _git(root, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")[0]:
        return None
    return _commits(root, ref, f"^{base}")


def read_named(root: Path, night: str) -> Sequence[LandedCommit]:
    """Return the commits that name a night, the oldest first, on all branches whose names end in the night's id.

    Where an open night's branch is called and where it begins no record says; but a branch that nights make ends so.

    Args:
        root: a repository.
        night: its id.

    Raises:
        GitError: it is no repository, or git does not answer.
    """
    if not _BRANCH.fullmatch(night):
        raise GitError(f"{night!r} cannot be a night's id")
    failed, out = _git(root, "for-each-ref", "--format=%(refname)", "refs/heads")
    if failed:
        raise GitError(f"{root} is no git repository")
    refs = [ref for ref in out.decode("utf-8", "replace").split("\n") if ref.endswith(night)]
    if not refs:
        return ()
    found = _commits(root, "--fixed-strings", f"--grep=Pantheon-Night: {night}", *refs)
    return [one for one in found if one.night == night]


def _commits(root: Path, *which: str) -> Sequence[LandedCommit]:
    failed, out = _git(root, "log", "-z", "--reverse", f"--format={_FORMAT}", *which, "--")
    if failed:
        raise GitError(f"git cannot list the commits of {' '.join(which)}")
    # Nothing that a commit says holds a zero byte, so that nothing it says ends a field.
    fields = iter(out.decode("utf-8", "replace").split("\0"))
    return [
        LandedCommit(commit, night, checkpoint, parent, tree, undoes, undo)
        for commit, parent, tree, night, checkpoint, undoes, undo in zip(*[fields] * 7, strict=False)
    ]


def _git(root: Path, *args: str) -> tuple[int, bytes]:
    try:
        done = subprocess.run(
            [find_git(), "-c", "core.fsmonitor=false", "-c", "safe.directory=*", "-c", "log.showSignature=false",
             *(part for one in PLAIN_READING for part in ("-c", one)), "-C", str(root), *args],
            env=git_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {args[0]} did not finish within {TIMEOUT_S} s") from error
    except OSError as error:
        raise GitError(f"git {args[0]} could not be started: {error.strerror or error}") from error
    return done.returncode, done.stdout
