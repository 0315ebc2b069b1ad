"""The model server's half of the wiring: what it can do is asked, remembered, and held against what a night needs."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pantheon.adapters.own_files import read_end
from pantheon.core.errors import (
    ModelError,
    ModelGoneError,
    ModelLostError,
    ModelOverloadedError,
    ModelTimeoutError,
    PreflightError,
    ServerAwayError,
)
from pantheon.core.llm_unit import LOG as UNIT_LOG
from pantheon.core.llm_unit import SOCKETS
from pantheon.core.server_capabilities import Capability, ServerCapabilities, refuse_without
from pantheon.ports.artifacts import ArtifactStore
from pantheon.shell.config import Project
from pantheon.shell.wiring import connect_endpoint

if TYPE_CHECKING:
    from pantheon.adapters.http_model import HttpModelClient
    from pantheon.engine.services import Content

EMBEDDED_LOG, VLLM_LOG = "server.log", "vllm.log"
KEPT_LOG_BYTES = 1_000_000
"""Most of a server's log that is left with a night: its end."""
ASK_S = 60.0
"""Seconds for the few tokens of the questions, on a small machine."""
_MAY_COME = (ModelLostError, ModelOverloadedError, ModelTimeoutError)


class ServerLog:
    """What the server of a night says from now on: that of the project's own, and that of the unit or of a named one.

    Args:
        project: the configured repository.
        unit_log: where the shipped unit's output goes.
    """

    def __init__(self, project: Project, *, unit_log: Path = Path(UNIT_LOG)) -> None:
        endpoint = project.config.endpoint
        embedded = endpoint.kind == "embedded"
        own = project.state / "logs" / (EMBEDDED_LOG if embedded else VLLM_LOG)
        self._starts = {own: _size(own)}
        self._expected: Path | None = None
        """One that ought to be there: that it cannot be read is to be said."""
        if project.config.vllm.log:
            self._expected = project.root / project.config.vllm.log
        elif not embedded and Path(endpoint.uds).parent == Path(SOCKETS):
            self._expected = unit_log
        if self._expected is not None:
            self._starts[self._expected] = _size(self._expected)

    async def keep(self, artifacts: ArtifactStore, night: str, now: datetime) -> None:
        """Leave what was said since, or the end of it, with a night; nothing where nothing was said.

        Raises:
            ArtifactError: it cannot be written.
        """
        said = await asyncio.to_thread(self._read)
        if said:
            await artifacts.put_night_file(night, f"server-{now:%Y%m%d-%H%M%S}.log", said)

    def _read(self) -> bytes:
        return b"".join(self._read_one(path, start) for path, start in self._starts.items())[-KEPT_LOG_BYTES:]

    def _read_one(self, path: Path, start: int) -> bytes:
        try:
            # One that is shorter than it was began anew meanwhile.
            since = start if _size(path) >= start else 0
            return read_end(path, KEPT_LOG_BYTES, since=since)
        except OSError as error:
            if path != self._expected:
                # There is no server of ours, or its log was taken away: nothing of it to keep.
                return b""
            why = f"{path} cannot be read ({error.strerror}): what the model server said in this night is not kept\n"
            return why.encode()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


async def ask_endpoint(project: Project, *, deadline_s: float = ASK_S) -> ServerCapabilities:
    """Ask the configured server that runs already who it is and what it can do, and remember it.

    Raises:
        LocalityError: it is not on this machine, or passes questions on to a cloud.
        ModelError: it does not answer.
    """
    client = connect_endpoint(project)
    try:
        return await _ask(project, client, deadline_s)
    finally:
        await client.aclose()


async def require_server(
    project: Project, client: "HttpModelClient", content: "Content"
) -> ServerCapabilities:
    """Ask the night's server what it can do, and have the client do without what it cannot.

    Raises:
        ServerAwayError: it does not answer, or not yet.
        PreflightError: it answers what is no answer, or the night's flows need what it cannot do.
        LocalityError: it passes questions on to a cloud.
    """
    try:
        found = await _ask(project, client, ASK_S)
    except ModelError as error:
        # One that loads its weights refuses connections, says 503, or keeps who asks waiting.
        away = isinstance(error, _MAY_COME) and not isinstance(error, ModelGoneError)
        raise (ServerAwayError if away else PreflightError)(
            f"the model server does not answer: {error.message}",
            hint="Start it, or mend [endpoint] in pantheon.toml; pantheon doctor asks it too.",
        ) from error
    if problem := refuse_without(found, reviewers_in_use(content)):
        raise PreflightError(
            problem,
            hint="Serve the model with an engine that does; llama.cpp and vLLM do. See docs/servers.md.",
        )
    client.constrained = found.has(Capability.JSON_SCHEMA)
    return found


def reviewers_in_use(content: "Content") -> tuple[str, ...]:
    """Return the names of the reviewers that some flow has a node for."""
    used = {node.agent for flow in content.flows.values() for node in flow.node}
    return tuple(name for name in content.reviewers if name in used)


async def read_known(project: Project) -> Mapping[str, ServerCapabilities]:
    """Return endpoint -> what it was found to be able to do when it was last asked."""
    from pantheon.adapters.server_file import read_servers

    return await asyncio.to_thread(read_servers, project.state)


async def _ask(project: Project, client: "HttpModelClient", deadline_s: float) -> ServerCapabilities:
    from pantheon.adapters.clock import SystemClock
    from pantheon.adapters.server_file import remember_server

    found = await client.capabilities(deadline_s=deadline_s, asked_at=SystemClock().now())
    if project.state.is_dir():
        await asyncio.to_thread(remember_server, project.state, found)
    return found
