"""The day's half of the wiring: the repository, the store and the user's key, for commands after a night."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.git.history import open_history
from pantheon.core.errors import ConfigError
from pantheon.ports.clock import Clock
from pantheon.ports.history import History
from pantheon.ports.signer import Signer
from pantheon.ports.store import Store
from pantheon.shell.config import Project, UserPaths
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
