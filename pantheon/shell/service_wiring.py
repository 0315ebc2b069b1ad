"""The service's part of the wiring: what putting it in place and taking it away would do, and doing it."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pantheon import __file__ as package_file
from pantheon.adapters.content import load_texts, shipped_content
from pantheon.adapters.git.listing import find_git_folder
from pantheon.adapters.unit_files import (
    Manifest,
    Standing,
    put_in_place,
    read_manifest,
    run_commands,
    standing,
    systemd_runs,
    take_away,
)
from pantheon.core.errors import ConfigError
from pantheon.core.units import (
    BESIDE_UNITS,
    DAEMON_UNIT,
    MANIFEST,
    TIMER_UNIT,
    Installation,
    Served,
    may_remove_system,
    may_remove_user,
    plan_system,
    plan_user,
)
from pantheon.shell.config import Project
from pantheon.shell.environment import base_folder
from pantheon.shell.window_wiring import timer_calendar

NOT_BOOTED = "this machine was not started by systemd; the commands were not run"


@dataclass(frozen=True)
class Scope:
    """Where a service is put."""

    name: str
    """``system`` or ``user``."""
    root: Path
    """What the paths of the plan are below."""
    manifest: Path
    live: bool
    """Whether the commands are run: not in a tree that some other machine will be started from."""
    may_remove: Callable[[str], bool]


@dataclass(frozen=True)
class Proposal:
    """What an installation would do here."""

    scope: Scope
    installation: Installation
    repository: str
    manifest: Manifest
    standings: Mapping[str, Standing]

    @property
    def foreign(self) -> tuple[str, ...]:
        """Paths that are somebody else's."""
        return tuple(name for name, how in self.standings.items() if how is Standing.FOREIGN)

    @property
    def changes(self) -> bool:
        """Whether anything is not in place yet."""
        return any(how is not Standing.SAME for how in self.standings.values())


def system_scope(root: Path) -> Scope:
    """Return where a service of the system goes; ``root`` other than ``/`` is a tree that is only filled."""
    return Scope(
        name="system",
        root=root,
        manifest=root / "etc" / MANIFEST,
        live=root == Path("/"),
        may_remove=may_remove_system,
    )


def user_scope() -> Scope:
    """Return where a service of this user goes."""
    folder = base_folder("XDG_CONFIG_HOME", ".config")
    return Scope(
        name="user",
        root=folder / "systemd" / "user",
        manifest=folder / MANIFEST,
        live=True,
        may_remove=may_remove_user,
    )


def refuse_without_root(scope: Scope) -> None:
    """Raise ``ConfigError`` when the scope needs rights that this user does not have."""
    if scope.name == "system" and scope.live and os.geteuid() != 0:
        raise ConfigError(
            "a service of the system is put in place by root",
            hint="sudo pantheon daemon install, or for yourself alone: pantheon daemon install --user",
        )


def propose(project: Project, scope: Scope, *, program: str | None = None) -> Proposal:
    """Return what an installation would do.

    Args:
        project: the repository to serve.
        scope: where the service goes.
        program: absolute path of the ``pantheon`` to run; None for this installation.

    Raises:
        ConfigError: a path cannot be written in a unit, or the service could not reach it.
        GitError: the project is in no repository.
    """
    shipped = load_texts(shipped_content() / "systemd")
    package = Path(package_file).resolve().parent
    served = Served(
        repository=str(project.root),
        program=(sys.executable, "-P", "-m", "pantheon") if program is None else (program,),
        writable=tuple(map(str, (find_git_folder(project.root), project.artifacts, project.state))),
        reads=(str(package), sys.prefix, sys.base_prefix) if program is None else (),
        calendar=timer_calendar(project) if scope.name == "user" else (),
    )
    planned = plan_system(shipped, served) if scope.name == "system" else plan_user(shipped, served)
    manifest = read_manifest(scope.manifest)
    standings = {n: standing(scope.root, n, data, manifest) for n, data in planned.files.items()}
    return Proposal(scope, planned, str(project.root), manifest, standings)


def carry_out(proposal: Proposal) -> str:
    """Write what is proposed and run its commands; returns a remark, or nothing.

    Raises:
        ConfigError: a file is somebody else's (nothing was written), or the disk refuses.
        PantheonError: a command failed; doing it again goes on.
    """
    scope = proposal.scope
    if proposal.foreign:
        named = "\n".join(f"  {scope.root / name}" for name in proposal.foreign)
        raise ConfigError(
            f"these files are not what an installation wrote:\n{named}",
            hint="Move them away, then install again. Nothing was written.",
        )
    serves = proposal.manifest.repository
    if serves and serves != proposal.repository:
        raise ConfigError(
            f"the service serves {serves} already",
            hint="Uninstall it first; for several repositories there is the user's pantheon-night@.timer.",
        )
    put_in_place(scope.root, proposal.installation.files, proposal.manifest, repository=proposal.repository)
    return _run(proposal.installation.commands, scope)


@dataclass(frozen=True)
class Removal:
    """What came of an uninstallation."""

    removed: tuple[str, ...]
    left: tuple[str, ...]
    """Changed since they were written, and still there."""
    remark: str


def installed(scope: Scope) -> Manifest:
    """Return what an installation wrote here. Raises ``ConfigError`` for a damaged record."""
    return read_manifest(scope.manifest)


def removal_commands(scope: Scope) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    """Return what is run before files are removed, and after."""
    if scope.name == "system":
        return (("systemctl", "disable", "--now", DAEMON_UNIT, *BESIDE_UNITS),), (
            ("systemctl", "daemon-reload"),
        )
    control = ("systemctl", "--user")
    stop = (*control, "stop", TIMER_UNIT.replace("@", "@*"))
    before = ((*control, "disable", "--now", DAEMON_UNIT), stop, (*control, "disable", TIMER_UNIT))
    return before, ((*control, "daemon-reload"),)


def remove(scope: Scope) -> Removal:
    """Stop the service and remove what was installed.

    Raises:
        ConfigError: the record was altered (nothing was removed), or the disk refuses.
    """
    manifest = read_manifest(scope.manifest)
    before, after = removal_commands(scope)
    if scope.live and systemd_runs():
        # It may be stopped or disabled already, or its unit may be gone.
        run_commands(before, tolerant=True)
    removed, left = take_away(scope.root, manifest, scope.may_remove)
    return Removal(tuple(removed), tuple(left), _run(after, scope))


def _run(commands: Sequence[Sequence[str]], scope: Scope) -> str:
    if not scope.live:
        return f"{scope.root} is a tree of files; the commands were not run"
    if not systemd_runs():
        return NOT_BOOTED
    run_commands(commands)
    return ""
