"""A state that came from somewhere else: with the repository, or from another user. Nothing of it is opened.

What nights remember is believed: measured reviewers, tests that passed, git's own settings, orders, logs that are
written on. Whoever gives a repository away must not have written it. Believed are this user's own, that of the
repository's owner by anybody but root, that of who asked sudo for root, and of users that a variable names; who may
write by a folder's group is taken to be let.
"""

import os
import pwd
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pantheon.core.errors import ConfigError, GitError, PreflightError
from pantheon.shell.config import Project
from pantheon.shell.environment import EVERYBODY, TRUSTED, trusted_users
from pantheon.shell.wiring import listing

SHOWN = 3
"""Files that a problem names."""

LOOKED_INTO: Mapping[str, object] = {
    "base_runs": {}, "calibration": {}, "logs": {}, "publish": {}, "trees": {},
    "git": {"info": {}, "objects": {"info": {}}, "refs": {"pantheon": {}}},
}  # fmt: skip
"""Folders of a state in whose own entries links are looked for; a work tree's content is the repository's."""


def refuse_brought_state(project: Project) -> None:
    """Refuse a state that came from somewhere else. Blocks on the disk.

    Raises:
        PreflightError: it did.
        GitError: git cannot list what is tracked.
    """
    for why, mend in brought_problems(project):
        raise PreflightError(why, hint=mend)


def refuse_brought_store(project: Project) -> Sequence[str]:
    """Refuse a state that came from somewhere else, for who opens nothing of it but the store. Blocks on the disk.

    A night that runs must be found and stopped however git's folder fares, and whatever lies beside the store.

    Returns:
        What is wrong with the rest of it, or could not be asked; a night is refused for it.

    Raises:
        PreflightError: it did.
    """
    if not os.path.lexists(project.state):
        return ()
    told = []
    try:
        problems = [*_tracked(project)]
    except GitError as error:
        # Whoever brings an index that git cannot read could as well have brought one that lists nothing.
        problems = []
        told = [f"whether the repository brings {project.state.name}/ cannot be asked: {error.message}"]
    links = sorted(_find_links(project.state, LOOKED_INTO))
    opened = [one for one in links if one.startswith(project.database.name)]
    for why, mend in (*_of_others(project), *problems, *_say_links(project, opened)):
        raise PreflightError(why, hint=mend)
    return [*told, *(why for why, _ in _say_links(project, links))]


def brought_problems(project: Project) -> Iterator[tuple[str, str]]:
    """Yield (what is wrong, what to do) for a state that came from somewhere else. Blocks on the disk.

    Raises:
        GitError: git cannot list what is tracked.
    """
    if not os.path.lexists(project.state):
        return
    yield from _tracked(project)
    yield from _of_others(project)
    yield from _say_links(project, sorted(_find_links(project.state, LOOKED_INTO)))


def name_of(uid: int) -> str:
    """Return a user's name; the number where the machine knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _tracked(project: Project) -> Iterator[tuple[str, str]]:
    try:
        # The settings may lie in a folder of the repository and not at its top.
        top = listing.find_work_tree(project.root)
    except ConfigError:
        return
    # A link on the way would hide what is tracked where it leads to.
    places = {project.state, project.state.resolve()}
    folders = {place.relative_to(top).as_posix() for place in places if place.is_relative_to(top)}
    found = sorted({one for folder in folders for one in listing.list_tracked(top, folder)})
    if found:
        yield (
            f"the repository brings what only this machine's nights may have written: {_name_some(found)}",
            f"Look at who committed it. Then git rm -r --cached {project.config.folders.state}; and unless it was you, "
            "remove the folder and begin anew with pantheon init.",
        )


def _say_links(project: Project, found: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Nights keep what they keep in files and folders of their own: a link has them write, or clean, elsewhere."""
    if found:
        shown = _name_some([f"{project.config.folders.state}/{one}" for one in found])
        yield (
            f"a symbolic link, which no night makes, stands in what nights remember: {shown}",
            "Look at who put it there, and remove it.",
        )


def _name_some(found: Sequence[str]) -> str:
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def _find_links(folder: Path, depths: Mapping[str, object], above: str = "") -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            yield above + entry.name
        elif entry.name in depths:
            inner = depths[entry.name]
            yield from _find_links(
                folder / entry.name, inner if isinstance(inner, Mapping) else {}, f"{above}{entry.name}/"
            )


def _of_others(project: Project) -> Iterator[tuple[str, str]]:
    found, repository = project.state.stat(), project.root.stat().st_uid
    state, trusted = project.config.folders.state, trusted_users()
    if not _believed(found.st_uid, repository, trusted):
        yield (
            f"{state}/ belongs to {name_of(found.st_uid)}, who could have written what nights remember",
            _give_back(state, found.st_uid, repository),
        )
        return
    if stat.S_IMODE(found.st_mode) & stat.S_IWOTH and not _keeps_modes(project.state, found):
        if EVERYBODY not in trusted:
            yield (
                f"the mode of {state}/ lets everybody write what nights remember, and cannot be changed",
                "Have its owner change it; where the file system keeps no modes, put the repository on one that does "
                "(under WSL below your home, not below /mnt); or, where nobody else uses this machine, set the "
                f"variable {TRUSTED}={EVERYBODY}",
            )
    elif stat.S_IMODE(found.st_mode) & stat.S_IWOTH:
        yield (
            f"everybody can write into {state}/, and so could have written what nights remember",
            f"Look at what is in it, or remove it; then chmod 700 {state}",
        )
    for name, uid in _owners(project.state):
        # Root's own, left by one command with sudo, is what root could have written anyway.
        if uid not in (0, found.st_uid) and not _believed(uid, repository, trusted):
            yield (
                f"{state}/{name} belongs to {name_of(uid)}, who could have written what nights remember",
                _give_back(f"{state}/{name}", uid, repository),
            )
            return


def _owners(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield (name, owner) of what is in a folder; nothing where it cannot be listed, and so not be opened."""
    try:
        paths = sorted(folder.iterdir())
    except PermissionError:
        return
    for path in paths:
        # A store's log comes and goes with whoever has it open.
        with suppress(FileNotFoundError):
            yield path.name, path.lstat().st_uid


def _believed(uid: int, repository: int, trusted: frozenset[str]) -> bool:
    """Whose the repository is may let another user work in it; root, who may do everything, asks for more."""
    me = os.geteuid()
    if uid == me or (uid == repository and me != 0):
        return True
    return bool(trusted & {str(uid), name_of(uid), EVERYBODY})


def _give_back(place: str, uid: int, repository: int) -> str:
    name, owner = name_of(uid), name_of(repository)
    trust = f"where {name} may decide what happens here, set the variable {TRUSTED}={name}"
    if uid == repository:
        return f"Run it as {name}: sudo -u {name} pantheon ...; or, {trust}"
    return (
        f"Where you know who wrote it, give it to whose the repository is: sudo chown -R {owner} {place}; or, "
        f"{trust}; else remove it and begin anew with pantheon init."
    )


def _keeps_modes(folder: Path, found: os.stat_result) -> bool:
    """Tell whether a mode of a folder can be changed at all; it stays as it was.

    Its owner alone may ask: to anybody else who cannot change it, it is as if none were kept.
    """
    mode = stat.S_IMODE(found.st_mode)
    try:
        # Not the bit that is asked for: another command may be looking at it.
        folder.chmod(mode ^ stat.S_ISVTX)
        changed = stat.S_IMODE(folder.stat().st_mode) != mode
        folder.chmod(mode)
    except PermissionError:
        return False
    except OSError:
        return True
    return changed
