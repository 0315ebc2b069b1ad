"""Looks at the endpoints of a pool one by one, by day: who answers, as what, and who is drained."""

import asyncio
from collections.abc import Iterator, Mapping

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.http_model import HttpModelClient
from pantheon.core.errors import LocalityError, ModelError
from pantheon.core.model import Frozen
from pantheon.core.server_capabilities import Capability
from pantheon.engine.drains import Drains
from pantheon.shell.config import Project
from pantheon.shell.pool_address_wiring import pool_addresses
from pantheon.shell.pool_config import OWN_ENDPOINT
from pantheon.shell.wiring import connect_endpoint, look_into_store

TIMEOUT_S = 10.0


class EndpointSeen(Frozen):
    """One endpoint of the pool as it is now."""

    name: str
    address: str
    weight: int
    models: tuple[str, ...]
    """What it is configured to serve; empty for the night's own model."""
    adapters: tuple[str, ...]
    draining: str
    """Why it is drained; empty while it is not."""
    answers: bool
    problem: str
    """What is wrong with it; empty when nothing is."""
    serving: str = ""
    """Name of the model that it was asked about, as it gave it; empty where it does not answer."""
    logprobs: bool = False
    """Whether reviewers can be answered by it."""


async def look_at_pool(project: Project) -> tuple[EndpointSeen, ...]:
    """Ask every endpoint who it is and what it can do.

    Raises:
        LocalityError: the address of one is not on this machine.
        StoreError: what is drained cannot be read.
    """
    drained: Mapping[str, str] = {}
    async with look_into_store(project) as store:
        if store is not None:
            drained = await Drains(store).read()
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(_ask(name, address, client, project, drained), name=f"ask {name}")
            for name, address, client in _clients(project)
        ]
    return tuple(task.result() for task in asked)


def _clients(project: Project) -> Iterator[tuple[str, str, HttpModelClient]]:
    own = project.config.endpoint
    if own.kind == "openai":
        yield OWN_ENDPOINT, own.uds or own.url, connect_endpoint(project)
    for one in pool_addresses(project):
        model = next(iter(one.config.models), own.model)
        client = HttpModelClient(one.name, base_url=one.base_url, uds=one.uds, model=model)
        yield one.name, one.uds or one.base_url, client


async def _ask(
    name: str, address: str, client: HttpModelClient, project: Project, drained: Mapping[str, str]
) -> EndpointSeen:
    own = next((one for one in project.config.pool if one.name == name), None)
    problem, serving, can = "", "", False
    try:
        found = await client.capabilities(deadline_s=TIMEOUT_S, asked_at=SystemClock().now())
        serving, can = found.model, found.has(Capability.LOGPROBS)
    except (ModelError, LocalityError) as error:
        problem = error.message
    finally:
        await client.aclose()
    return EndpointSeen(
        name=name,
        address=address,
        weight=own.weight if own is not None else 1,
        models=tuple(own.models) if own is not None else (),
        adapters=tuple(own.adapters) if own is not None else (),
        draining=drained.get(name, ""),
        answers=not problem,
        problem=problem,
        serving=serving,
        logprobs=can,
    )
