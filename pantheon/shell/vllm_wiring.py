"""The vLLM that the configuration describes, and the one process per project that looks after it."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pantheon.adapters.adapter_files import read_rank
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.own_files import open_log
from pantheon.adapters.served_process import (
    find_supervisor,
    hold_supervisor,
    read_supervisor,
)
from pantheon.core.errors import ConfigError, ModelError
from pantheon.core.llm_unit import refuse_unseen
from pantheon.core.locality import check_endpoint_url
from pantheon.core.server_watch import Patience
from pantheon.core.vllm import VllmServer, fitting_rank
from pantheon.shell.config import Project
from pantheon.shell.pool_config import OWN_ENDPOINT
from pantheon.shell.server_wiring import VLLM_LOG
from pantheon.shell.vllm_keeping import Keeper, Say
from pantheon.shell.wiring import load_policies

LOCK = "server.lock"
STOP_WAIT_S = 60


def plan_vllm(project: Project) -> VllmServer:
    """Return the vLLM that the configuration describes.

    Raises:
        ConfigError: it describes none, one that the night would not talk to, or an adapter that is none.
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
    own = next((one for one in project.config.pool if one.name == OWN_ENDPOINT), None)
    adapters = _placed(project, wanted.adapters)
    later = _placed(project, {} if own is None else own.adapters)
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
        adapters=adapters,
        runtime_adapters={name: path for name, path in later.items() if name not in adapters},
        max_lora_rank=fitting_rank(read_rank(Path(path)) for path in {*adapters.values(), *later.values()}),
    )


def refuse_for_unit(server: VllmServer) -> None:
    """Refuse what the shipped unit could not serve. Blocks. Raises ``ConfigError``."""
    named = [("vllm.model", server.model)]
    if "/" in server.python:
        named.append(("vllm.python", server.python))
    named += [
        (f"adapters.{name}", path) for name, path in {**server.adapters, **server.runtime_adapters}.items()
    ]
    followed = [(key, str(Path(path).resolve())) for key, path in named]
    refuse_unseen(server.uds, [*named, *followed])


def _placed(project: Project, adapters: Mapping[str, str]) -> dict[str, str]:
    return {name: str(project.root / path) for name, path in adapters.items()}


def supervisor_of(project: Project) -> int | None:
    """Return the process that looks after the project's server; None when none does."""
    return find_supervisor(project.state / LOCK)


def told_by_supervisor(project: Project) -> str:
    """Return what the process that looks after the project's server said last; empty when none does."""
    return read_supervisor(project.state / LOCK)


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


async def supervise(
    project: Project,
    *,
    say: Say,
    stopping: asyncio.Event,
    ready: asyncio.Event,
    patience: Patience | None = None,
) -> None:
    """Keep the project's vLLM running until told to stop.

    Args:
        project: the configured repository.
        say: told what happens.
        stopping: set to end.
        ready: set once the server answers.
        patience: how long a server that lives may be silent.

    Raises:
        ConfigError: no vLLM is configured, or what is at the address may not be asked.
        PreflightError: somebody looks after it already, or somebody else has the address.
        ModelError: it does not start, or does not stay.

    Cancellation:
        The server is killed.
    """
    server = plan_vllm(project)
    if not await asyncio.to_thread(Path(server.model).is_dir):
        raise ConfigError(f"{server.model}: is not a folder", hint="Mend vllm.model in pantheon.toml.")
    with hold_supervisor(project.state / LOCK) as tell:

        def both(said: str) -> None:
            # Some of it are a foreign server's words, which begin no line of their own.
            line = " ".join(said.split())
            # A log whose disk is full, or a terminal that is gone, is no reason to end a server that is well.
            with suppress(OSError):
                say(line)
            tell(line)

        log = project.state / "logs" / VLLM_LOG
        await Keeper(project, server, log, both, stopping, ready, patience or Patience()).keep()
