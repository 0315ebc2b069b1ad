"""Looks at the server that is supervised: who is at its address, and whether what runs there still works."""

import asyncio
from collections.abc import Callable
from enum import Enum

import httpx

from pantheon.adapters.listening import is_taken
from pantheon.adapters.local_http import local_client
from pantheon.adapters.served_process import measure_group
from pantheon.adapters.server_identity import ask_listing, is_vllm
from pantheon.adapters.server_load import ask_load
from pantheon.adapters.server_work import ask_work
from pantheon.core.chat import ChatRequest, Message, Sampling
from pantheon.core.errors import (
    ConfigError,
    ModelGoneError,
    ModelLostError,
    ModelOverloadedError,
    ModelTimeoutError,
    PantheonError,
)
from pantheon.core.locality import check_endpoint_url
from pantheon.core.server_watch import Look, Patience, Watched
from pantheon.ports.clock import Clock
from pantheon.shell.config import Project
from pantheon.shell.wiring import connect_endpoint, endpoint_address, load_policies

PROBE_S = 10.0
ONE_TOKEN = ChatRequest(messages=(Message(role="user", content="1"),), sampling=Sampling(max_tokens=1))
_UNWELL = (ModelLostError, ModelOverloadedError, ModelTimeoutError)
Say = Callable[[str], None]


class Presence(Enum):
    """Who is at the configured address."""

    NOBODY = "nobody"
    LOADING = "loading"
    """Somebody who does not answer, or not yet."""
    OTHER = "other"
    """Somebody who answers, and is not what is configured."""
    READY = "ready"


def server_base(project: Project) -> str:
    """Return the base of the server's URLs. Raises ``LocalityError``: it is not on this machine."""
    endpoint = project.config.endpoint
    if endpoint.uds:
        return "http://localhost"
    return check_endpoint_url(endpoint.url, load_policies(project).night.local_networks).base_url


async def is_ready(project: Project) -> str:
    """Ask the configured server for its health and one token; returns what is wrong, empty when nothing is."""
    return (await _ask(project))[1]


async def find_presence(project: Project) -> tuple[Presence, str]:
    """Return who is at the configured address, and what is wrong with him.

    Raises:
        ConfigError: what is at the path of the socket is none, or may not be asked.
        LocalityError: the address is not on this machine.
    """
    endpoint = project.config.endpoint
    address = check_endpoint_url(endpoint.url, load_policies(project).night.local_networks)
    if not await asyncio.to_thread(is_taken, endpoint.uds, address.host, address.port):
        return Presence.NOBODY, "nobody listens"
    return await _ask(project)


async def _ask(project: Project) -> tuple[Presence, str]:
    client = connect_endpoint(project)
    try:
        async with (
            asyncio.timeout(PROBE_S),
            local_client(server_base(project), uds=project.config.endpoint.uds or None) as http,
        ):
            status = await _ask_health(http)
        if status >= 500:
            return Presence.LOADING, f"/health answers {status}"
        await client.identity(deadline_s=PROBE_S)
        await client.chat(ONE_TOKEN, deadline_s=PROBE_S)
    except httpx.ProtocolError as error:
        return Presence.OTHER, f"{type(error).__name__}: {error}".rstrip(": ")
    except (httpx.HTTPError, TimeoutError) as error:
        return Presence.LOADING, f"{type(error).__name__}: {error}".rstrip(": ")
    except PantheonError as error:
        away = isinstance(error, _UNWELL) and not isinstance(error, ModelGoneError)
        return (Presence.LOADING if away else Presence.OTHER), error.message
    finally:
        await client.aclose()
    return Presence.READY, ""


async def find_lost_metrics(project: Project) -> str:
    """Return what is lost where the configured server is a vLLM whose ``/metrics`` does not answer; else nothing."""
    base, uds = await asyncio.to_thread(endpoint_address, project)
    try:
        async with asyncio.timeout(PROBE_S), local_client(base, uds=uds) as http:
            listing = await ask_listing(http, project.config.endpoint.uds or base)
            if not is_vllm(listing) or (await ask_load(http)).running is not None:
                return ""
    except (httpx.HTTPError, TimeoutError, PantheonError):
        # Whether it answers at all is another question, which is asked beside this one.
        return ""
    return "vLLM's /metrics does not answer: nights guess how full it is, and nobody sees it stand still"


async def watch_own(project: Project, group: int, patience: Patience, clock: Clock) -> str:
    """Look at a server of ours again and again; returns why it has to be ended, and not before.

    Args:
        project: the configured repository.
        group: its process group.
        patience: how long it may be silent.
        clock: when it is looked at.
    """
    base, uds = server_base(project), project.config.endpoint.uds or None
    answers, question, unanswered = 0, None, False
    seen: Watched | None = None
    async with asyncio.TaskGroup() as tasks, local_client(base, uds=uds) as http:
        while True:
            if question is not None and question.done():
                # A question that failed stays one that was not answered until another is.
                answered, question = question.result(), None
                answers, unanswered = answers + answered, not answered
            healthy, work = await _look(http, patience.probe_s)
            look = Look(
                at=clock.monotonic(),
                healthy=healthy,
                asked=unanswered or question is not None,
                work=work,
                answers=answers,
                computed_s=await asyncio.to_thread(measure_group, group),
            )
            seen = Watched.begin(look) if seen is None else seen.advance(look, patience)
            if why := seen.verdict(patience):
                if question is not None:
                    question.cancel()
                return why
            if question is None and seen.wants_question(patience):
                question = tasks.create_task(_question(project, patience.slow_s), name="ask for one token")
            await clock.sleep(patience.look_s)


async def watch_foreign(project: Project, patience: Patience, clock: Clock, say: Say) -> None:
    """Look at a server of somebody else again and again; returns once it has been gone for a while."""
    gone_at: float | None = None
    silent = False
    base, uds = server_base(project), project.config.endpoint.uds or None
    address = check_endpoint_url(project.config.endpoint.url, load_policies(project).night.local_networks)
    async with local_client(base, uds=uds) as http:
        while gone_at is None or clock.monotonic() - gone_at < patience.gone_s:
            await clock.sleep(patience.look_s)
            try:
                there = await asyncio.to_thread(is_taken, uds or "", address.host, address.port)
            except ConfigError as error:
                there = True
                say(error.message)
            if not there:
                if gone_at is None:
                    gone_at = clock.monotonic()
                    say(f"the server that was there is gone; after {patience.gone_s:.0f} s ours is started")
                continue
            gone_at = None
            healthy, _ = await _look(http, patience.probe_s)
            if healthy == silent:
                silent = not healthy
                say(
                    "the server that is there answers again; it is used as it is"
                    if healthy
                    else "the server that is there does not answer; it is not ours to end"
                )


async def _ask_health(http: httpx.AsyncClient) -> int:
    """Return the status of ``/health``; its page, which may be without end, is not read. Raises ``httpx.HTTPError``."""
    async with http.stream("GET", "/health") as response:
        return response.status_code


async def _look(http: httpx.AsyncClient, probe_s: float) -> tuple[bool, float | None]:
    healthy, work = False, None
    try:
        async with asyncio.timeout(probe_s):
            healthy = await _ask_health(http) < 500
            work = await ask_work(http)
    except (httpx.HTTPError, TimeoutError, PantheonError):
        # A silence: the next look says more.
        return healthy, work
    return healthy, work


async def _question(project: Project, deadline_s: float) -> int:
    """Ask for one token; returns 1 when the server answered, whatever it said."""
    client = connect_endpoint(project)
    try:
        await client.chat(ONE_TOKEN, deadline_s=deadline_s)
    except _UNWELL:
        return 0
    except PantheonError:
        return 1
    finally:
        await client.aclose()
    return 1
