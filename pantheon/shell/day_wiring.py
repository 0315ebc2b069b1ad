"""The day's half of the wiring: the repository, the store and the user's key, for commands after a night."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.forge import CliForge, find_program, write_requests
from pantheon.adapters.git.history import open_history
from pantheon.adapters.threads import run_to_end
from pantheon.core.errors import ConfigError
from pantheon.ports.clock import Clock
from pantheon.ports.forge import Forge
from pantheon.ports.history import History
from pantheon.ports.signer import Signer
from pantheon.ports.store import Store
from pantheon.shell.config import Project, UserPaths
from pantheon.shell.environment import environment
from pantheon.shell.wiring import open_project_store, project_signer


@dataclass(frozen=True)
class Day:
    """What commands of the day work with."""

    store: Store
    history: History
    clock: Clock


@asynccontextmanager
async def open_day(project: Project, *, write: bool) -> AsyncIterator[Day]:
    """Open store and repository for the length of a ``with``; a night may run beside it.

    Args:
        project: the configured repository.
        write: whether something is going to be recorded.

    Raises:
        ConfigError: nothing was ever queued.
        StoreError, GitError: they cannot be used.
    """
    if not project.database.exists():
        raise ConfigError("there was no night yet", hint="Queue something and run: pantheon night")
    clock = SystemClock()
    async with (
        open_project_store(project, write=write) as store,
        open_history(project.root, project.state, clock) as history,
    ):
        yield Day(store, history, clock)


def find_signer(project: Project, user: UserPaths) -> Signer | None:
    """Return the user's key; None where this user has none. By day none is made. Raises ``SignatureError``."""
    return project_signer(project, user) if os.path.lexists(user.signing_key) else None


def find_forge(project: Project, kind: Literal["gh", "glab", "bundle"], remote: str) -> Forge | None:
    """Return the forge of a remote; None where none is wanted, or its program is not on the user's PATH."""
    if kind == "bundle":
        return None
    program = find_program(kind, environment())
    return None if program is None else CliForge(project.root, remote, program, kind, environment())


async def leave_requests(folder: Path, texts: Sequence[tuple[str, Mapping[str, bytes]]]) -> None:
    """Write one folder a pull request. Raises ``GitError``."""
    await run_to_end(lambda: write_requests(folder, texts))


def free_folder(wanted: Path | None, default: Path) -> Path:
    """Return a folder that is not there yet: the one that is wanted, else the default one, numbered.

    Raises:
        ConfigError: the one that is wanted is there.
    """
    if wanted is not None:
        if os.path.lexists(wanted):
            raise ConfigError(f"{wanted} is there already", hint="Name a folder that is not: --out DIR")
        return wanted.absolute()
    number, folder = 1, default
    while os.path.lexists(folder):
        number += 1
        folder = default.with_name(f"{default.name}-{number}")
    return folder
