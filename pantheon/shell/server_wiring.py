"""The model server's half of the wiring: what it can do is asked, remembered, and held against what a night needs."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pantheon.core.errors import ModelError, PreflightError
from pantheon.core.server_capabilities import Capability, ServerCapabilities, refuse_without
from pantheon.shell.config import Project
from pantheon.shell.wiring import connect_endpoint

if TYPE_CHECKING:
    from pantheon.adapters.http_model import HttpModelClient
    from pantheon.engine.services import Content

ASK_S = 60.0
"""Seconds for the few tokens of the questions, on a small machine."""


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
        PreflightError: it does not answer, or the night's flows need what it cannot do.
        LocalityError: it passes questions on to a cloud.
    """
    try:
        found = await _ask(project, client, ASK_S)
    except ModelError as error:
        raise PreflightError(
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
