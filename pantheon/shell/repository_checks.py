"""What a night needs of the repository before it touches anything: its owner, a writable git folder, its own state.

``pantheon doctor`` and the night ask the same function, so that they cannot disagree.
"""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from pantheon.core.errors import PreflightError
from pantheon.core.exposed_reads import find_exposed, home_secrets
from pantheon.core.policy import NIGHT_FILE
from pantheon.shell import wiring
from pantheon.shell.brought_state import brought_problems, name_of
from pantheon.shell.config import Project, UserPaths
from pantheon.shell.environment import base_folder
from pantheon.shell.queue_wiring import project_queue


def refuse_repository(project: Project, user: UserPaths) -> None:
    """Refuse a repository that a night of this user would harm, could not write to, or has lost its memory of, and a
    policy that would show its code a secret.

    Blocks on the disk.

    Raises:
        PreflightError: the first of the problems; the hint is a command where there is one.
        ConfigError: the policy cannot be read.
        GitError: git cannot say where its folder is.
    """
    for why, mend in (*repository_problems(project), *exposed_problems(project, user)):
        raise PreflightError(why, hint=mend)


def exposed_problems(project: Project, user: UserPaths) -> Iterator[tuple[str, str]]:
    """Yield (what is wrong, what to do) for paths of ``sandbox_reads`` that would show a secret. Blocks on the disk.

    Raises:
        ConfigError: the policy cannot be read.
        GitError: git cannot say where its folder is.
    """
    named = wiring.load_policies(project).night.sandbox_reads
    if not named:
        return
    folder = wiring.listing.find_git_folder(project.root)
    secrets = {
        user.keys: "the key that signs",
        user.witness: "the witness of earlier nights",
        project.state: "the night's database",
        project.artifacts: "the evidence of nights",
        project.queue: "the queue",
        project.policies: "the policies",
        folder: "git's folder",
    }
    real = {str(place.resolve()): what for place, what in secrets.items()}
    # Not only what HOME says: the home folder that the machine knows counts as well.
    for home in {base_folder("HOME", "").resolve(), Path(_home_of(os.getuid())).resolve()}:
        real |= home_secrets(str(home))
    reads = {path: str(Path(path).resolve()) for path in named}
    for path, what in find_exposed(reads, real):
        yield (
            f"policies/{NIGHT_FILE}: sandbox_reads: {path} would show code of the repository {what}",
            "Name only what such code needs, such as the folder of a virtual environment.",
        )


def repository_problems(project: Project) -> Iterator[tuple[str, str]]:
    """Yield (what is wrong, what to do). Blocks on the disk. Raises ``GitError``."""
    folder = wiring.listing.find_git_folder(project.root)
    yield from _foreign((project.root, folder))
    yield from _closed(folder, project.config.night.branch_prefix)
    yield from brought_problems(project)
    yield from _forgotten(project)


def _foreign(places: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    """Root can write everywhere, and what it leaves in git's folder its owner could not change any more."""
    if os.geteuid() != 0:
        return
    for place in places:
        owner = place.stat().st_uid
        if owner != 0:
            name = name_of(owner)
            yield (
                f"{place} belongs to {name}, and root would leave commits and branches there that {name} cannot change",
                f"Run it as its owner: sudo -u {name} pantheon night; or make it root's: chown -R root {place}",
            )
            return


def _closed(folder: Path, branch_prefix: str) -> Iterator[tuple[str, str]]:
    heads = folder / "refs" / "heads"
    wanted = (folder, folder / "objects", folder / "refs", heads, (heads / f"{branch_prefix}x").parent)
    closed = [str(place) for place in wanted if not wiring.probes.is_writable(place)]
    if closed:
        yield (
            f"git's folder cannot be written, so no branch could be made: {', '.join(dict.fromkeys(closed))}",
            f"Make it this user's, or mount it writable: chmod -R u+w {folder}",
        )


def _forgotten(project: Project) -> Iterator[tuple[str, str]]:
    state = project.state
    if state.is_dir():
        return
    waiting, queue = len(project_queue(project).names()), project.config.folders.queue
    lost, again = "", ""
    if waiting:
        batches = f"{waiting} batch{'es' if waiting > 1 else ''}"
        lost = f", and with it what earlier nights did with the {batches} in {queue}/"
        again = f" Then set aside those in {queue}/ that were worked; a night names them by the ledgers that are left."
    yield (
        f"{state} is gone{lost}",
        f"Put it back from a backup; or begin anew: pantheon -C {project.root} init.{again}",
    )


def _home_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir or "/"
    except KeyError:
        return "/"
