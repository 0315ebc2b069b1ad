"""Looks after a vLLM of ours: starts it, waits until it answers, and starts it again when it ends.

Invariants:
- there is one supervisor per project, and its server goes with it;
- a server that answers at the address already is used, never fought;
- it is started again with a wait that doubles, a bounded number of times in a row.
"""

import asyncio
import os
import signal
import stat
import subprocess
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import httpx

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.local_http import local_client
from pantheon.adapters.own_files import open_log
from pantheon.adapters.served_process import find_supervisor, hold_supervisor, start_process, stop_process
from pantheon.core.breaker import CEILING_S, FIRST_WAIT_S
from pantheon.core.chat import ChatRequest, Message, Sampling
from pantheon.core.errors import ConfigError, ModelError, ModelGoneError, ModelTimeoutError, PantheonError
from pantheon.core.locality import check_endpoint_url
from pantheon.core.vllm import VllmServer, vllm_command, vllm_environment
from pantheon.shell.config import Project
from pantheon.shell.environment import environment
from pantheon.shell.server_wiring import VLLM_LOG
from pantheon.shell.wiring import connect_endpoint, load_policies

LOCK = "server.lock"
MAX_RESTARTS = 5
"""Starts in a row that come to nothing."""
STAYED_S = 600.0
"""A server that answered for so long begins its count anew."""
PROBE_S, POLL_S, STOP_GRACE_S, STOP_WAIT_S = 10.0, 0.5, 20.0, 40
ONE_TOKEN = ChatRequest(messages=(Message(role="user", content="1"),), sampling=Sampling(max_tokens=1))
Say = Callable[[str], None]


def plan_vllm(project: Project) -> VllmServer:
    """Return the vLLM that the configuration describes.

    Raises:
        ConfigError: it describes none, or one that the night would not talk to.
        LocalityError: its address is not on this machine.
    """
    wanted, endpoint = project.config.vllm, project.config.endpoint
    if endpoint.kind != "openai":
        raise ConfigError(
            f"pantheon.toml: endpoint.kind: is {endpoint.kind!r}, so that nights start a server of their own",
            hint='For vLLM: [endpoint] kind = "openai" and uds = "/path/of/its.sock", [vllm] model = "FOLDER".',
        )
    if not wanted.model:
        raise ConfigError(
            "pantheon.toml: vllm.model: is empty, so that there is nothing to serve",
            hint="Name the folder of the model, with its weights as safetensors.",
        )
    address = check_endpoint_url(endpoint.url, load_policies(project).night.local_networks)
    if not endpoint.uds and not address.is_loopback:
        raise ConfigError(
            f"pantheon.toml: endpoint.url: {endpoint.url} is not this machine; its server is started there",
            hint="Start it where it is, or set endpoint.uds.",
        )
    folder = project.root / wanted.model
    return VllmServer(
        python=str(project.root / wanted.python) if "/" in wanted.python else wanted.python,
        model=str(folder),
        name=endpoint.model or folder.name,
        uds=endpoint.uds,
        host=address.host,
        port=address.port,
        dtype=wanted.dtype,
        context_tokens=endpoint.context_tokens,
        max_num_seqs=wanted.max_num_seqs,
        gpu_memory_share=wanted.gpu_memory_share or None,
        cpu_cache_gib=wanted.cpu_cache_gib,
        cpu_threads=wanted.cpu_threads,
        eager=wanted.eager,
        adapters={name: str(project.root / path) for name, path in wanted.adapters.items()},
    )


def supervisor_of(project: Project) -> int | None:
    """Return the process that looks after the project's server; None when none does."""
    return find_supervisor(project.state / LOCK)


async def is_ready(project: Project) -> str:
    """Ask the configured server for its health and one token; returns what is wrong, empty when nothing is."""
    endpoint = project.config.endpoint
    client = connect_endpoint(project)
    try:
        base = (
            "http://localhost"
            if endpoint.uds
            else check_endpoint_url(endpoint.url, load_policies(project).night.local_networks).base_url
        )
        async with asyncio.timeout(PROBE_S), local_client(base, uds=endpoint.uds or None) as http:
            health = await http.get("/health")
        if health.status_code >= 500:
            return f"/health answers {health.status_code}"
        await client.chat(ONE_TOKEN, deadline_s=PROBE_S)
    except (httpx.HTTPError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}".rstrip(": ")
    except PantheonError as error:
        return error.message
    finally:
        await client.aclose()
    return ""


def start_supervisor(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    """Start a supervisor in a session of its own; what it says goes into its log. Blocks.

    Raises:
        ConfigError: its log cannot be added to.
    """
    try:
        descriptor = open_log(log)
    except OSError as error:
        raise ConfigError(
            f"{log} cannot be added to: {error.strerror}", hint="Look at who put it there, and remove it."
        ) from error
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, start_new_session=True
        )
    finally:
        os.close(descriptor)


async def stop_supervisor(project: Project, pid: int) -> None:
    """Have a supervisor end with its server, and wait for it.

    Raises:
        ConfigError: it is another user's.
        ModelError: it does not end.
    """
    clock = SystemClock()
    if pid <= 1:
        raise ConfigError(f"{project.state / LOCK}: does not say who looks after the server")
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise ConfigError(f"process {pid} is another user's", hint="Stop it as that user.") from error
    try:
        async with asyncio.timeout(STOP_WAIT_S):
            while supervisor_of(project) == pid:
                await clock.sleep(0.1)
    except TimeoutError as error:
        raise ModelError(
            f"process {pid} did not end within {STOP_WAIT_S} s", hint="Look at its log."
        ) from error


async def supervise(project: Project, *, say: Say, stopping: asyncio.Event, ready: asyncio.Event) -> None:
    """Keep the project's vLLM running until told to stop.

    Args:
        project: the configured repository.
        say: told what happens.
        stopping: set to end.
        ready: set once the server answers.

    Raises:
        ConfigError: no vLLM is configured.
        PreflightError: somebody looks after it already.
        ModelError: it does not start, or does not stay.

    Cancellation:
        The server is killed.
    """
    server = plan_vllm(project)
    if not await asyncio.to_thread(Path(server.model).is_dir):
        raise ConfigError(f"{server.model}: is not a folder", hint="Mend vllm.model in pantheon.toml.")
    with hold_supervisor(project.state / LOCK):
        if not await is_ready(project):
            say("a server answers there already; it is used as it is")
            ready.set()
            await stopping.wait()
            return
        await _keep(project, server, project.state / "logs" / VLLM_LOG, say, stopping, ready)


async def _keep(
    project: Project, server: VllmServer, log: Path, say: Say, stopping: asyncio.Event, ready: asyncio.Event
) -> None:
    clock, in_vain = SystemClock(), 0
    while not stopping.is_set():
        await asyncio.to_thread(_clear_socket, server.uds)
        process = await start_process(vllm_command(server), vllm_environment(server), environment(), log)
        say(f"started vLLM as process {process.pid}; its log: {log}")
        try:
            began = clock.monotonic()
            if await _wait_ready(project, process, stopping):
                say(f"{server.name} answers after {clock.monotonic() - began:.0f} s")
                ready.set()
                began = clock.monotonic()
                await _first(stopping.wait(), process.wait())
            if process.returncode is not None and clock.monotonic() - began > STAYED_S:
                in_vain = 0
        finally:
            await stop_process(process, grace_s=STOP_GRACE_S)
        if stopping.is_set():
            return
        in_vain += 1
        if in_vain > MAX_RESTARTS:
            raise ModelGoneError(f"vLLM ended {in_vain} times in a row", hint=f"The end of {log} says why.")
        wait_s = min(FIRST_WAIT_S * 2.0**in_vain, CEILING_S)
        say(f"vLLM ended ({process.returncode}); it is started again in {wait_s:.0f} s")
        await _first(stopping.wait(), clock.sleep(wait_s))


def _clear_socket(uds: str) -> None:
    """Remove the socket that a killed server left; what is no socket is somebody's file.

    Raises:
        ConfigError: something else is there.
    """
    path = Path(uds)
    if not uds or not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise ConfigError(f"pantheon.toml: endpoint.uds: {uds} is there, and is no socket")
    path.unlink(missing_ok=True)


async def _wait_ready(project: Project, process: asyncio.subprocess.Process, stopping: asyncio.Event) -> bool:
    """Wait until the server answers; False when it ended or nobody wants it any more."""
    limit = project.config.vllm.ready_timeout_s
    clock = SystemClock()
    try:
        async with asyncio.timeout(limit):
            while process.returncode is None and not stopping.is_set():
                if not await is_ready(project):
                    return True
                await clock.sleep(POLL_S)
    except TimeoutError as error:
        raise ModelTimeoutError(
            f"vLLM did not answer within {limit} s", hint="Raise vllm.ready_timeout_s, or look at its log."
        ) from error
    return False


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of several, and let go of the others."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(one, name="wait") for one in waits]
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for one in running:
            one.cancel()
