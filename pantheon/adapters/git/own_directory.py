"""The night's own git directory: made, found damaged, made again.

It holds nothing but candidates: what has landed is in the user's repository. So a directory that git cannot read
is set aside and a new one begins; whoever asks for a commit that went with it is told by ``CommitLostError``.

Its settings are written anew whenever it is opened, and what would lead git to other settings is removed: a directory
that was copied here with somebody else's state runs nothing.
"""

import os
import stat
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import structlog

from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.own_files import replace_small
from pantheon.adapters.threads import run_to_end
from pantheon.core.errors import GitError
from pantheon.ports.clock import Clock

# Whatever a repository's attributes say, content is compared and checked out as it is.
_ATTRIBUTES = b"* !diff !filter !merge !eol !ident !working-tree-encoding -text\n"
_ELSEWHERE = ("commondir", "config.worktree", "gitdir", "info/grafts")
"""Files that lead git to another directory, to further settings or to another past; none of them is ever ours."""
_STALE = timedelta(days=1)
_log = structlog.get_logger()


async def open_own(own: Path, user: Path, *, object_format: str, clock: Clock) -> GitRunner:
    """Return a runner on the night's git directory, which borrows the user's objects.

    Args:
        own: where it is, or will be.
        user: the user's git directory.
        object_format: ``sha1`` or ``sha256``, as the user's.
        clock: names what is set aside, and tells how old it is what a killed git left.

    Raises:
        GitError: it can be neither used nor made.
    """
    git = GitRunner(own)
    try:
        await run_to_end(lambda: _lead_nowhere(own))
        if await run_to_end(own.exists) and not await _is_sound(git, object_format):
            aside = own.with_name(f"{own.name}.damaged-{clock.now():%Y%m%dT%H%M%S%fZ}")
            await run_to_end(lambda: own.rename(aside))
            _log.warning("git_directory_set_aside", folder=str(aside))
        if not await run_to_end(own.exists):
            await run_to_end(lambda: own.parent.mkdir(parents=True, exist_ok=True))
            await git.run(
                "init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", str(own)
            )
        await run_to_end(lambda: _write_settings(own, user, object_format))
        before = (clock.now() - _STALE).timestamp()
        torn = await run_to_end(lambda: _tidy(own, before))
    except OSError as error:
        raise GitError(f"{error.filename or own}: {error.strerror}") from error
    if torn:
        _log.warning("torn_git_objects_removed", count=torn)
    return git


async def _is_sound(git: GitRunner, object_format: str) -> bool:
    try:
        return (
            await git.text("rev-parse", "--show-object-format", "--git-dir")
            == f"{object_format}\n{git.git_dir}"
        )
    except GitError:
        return False


def _lead_nowhere(own: Path) -> None:
    for name in _ELSEWHERE:
        with suppress(NotADirectoryError):
            (own / name).unlink(missing_ok=True)


def _write_settings(own: Path, user: Path, object_format: str) -> None:
    modes, folds = _probe(own)
    settings = (
        f"[core]\n\trepositoryformatversion = {int(object_format != 'sha1')}\n\tbare = true\n"
        f"\tfilemode = {str(modes).lower()}\n\tignorecase = {str(folds).lower()}\n"
    )
    if object_format != "sha1":
        settings += f"[extensions]\n\tobjectformat = {object_format}\n"
    replace_small(own / "config", settings.encode())
    (own / "info").mkdir(exist_ok=True)
    replace_small(own / "info" / "attributes", _ATTRIBUTES)
    (own / "objects" / "info").mkdir(parents=True, exist_ok=True)
    replace_small(own / "objects" / "info" / "alternates", os.fsencode(user / "objects") + b"\n")
    # Where the user's history was cut off, the commits that are not there must not be looked for.
    try:
        replace_small(own / "shallow", (user / "shallow").read_bytes())
    except FileNotFoundError:
        (own / "shallow").unlink(missing_ok=True)


def _probe(folder: Path) -> tuple[bool, bool]:
    """Return whether the file system keeps the mode that lets a file run, and whether it takes "a" and "A" for one.

    Asked anew each time, and with a name that nobody could know: what stands in the folder was perhaps brought.
    """
    handle, name = tempfile.mkstemp(prefix="probe-", dir=folder)
    try:
        return _keeps_modes(handle), os.path.lexists(folder / Path(name).name.swapcase())
    finally:
        os.close(handle)
        Path(name).unlink()


def _keeps_modes(handle: int) -> bool:
    for mode in (0o700, 0o600):
        try:
            os.fchmod(handle, mode)
        except PermissionError:
            return False
        if stat.S_IMODE(os.fstat(handle).st_mode) != mode:
            return False
    return True


def _tidy(own: Path, before: float) -> int:
    """Remove what a killed git left long ago, and the objects that a power loss emptied; return their number.

    git never writes an object anew whose file is there already, so an empty one would stay lost for ever.
    """
    torn = 0
    for folder in (own / "objects").iterdir():
        for path in folder.iterdir() if len(folder.name) == 2 else ():
            if path.stat().st_size == 0 and not path.name.startswith("tmp_"):
                path.unlink()
                torn += 1
    left = [*own.glob("objects/*/tmp_*"), *own.glob("fast_import_crash_*")]
    for path in left:
        if path.stat().st_mtime < before:
            path.unlink()
    return torn
