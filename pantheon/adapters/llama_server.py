"""The embedded model server: llama.cpp in a child process, on a Unix socket in a folder of its own.

Invariants:
- the address cannot collide, and no process of another user can reach it;
- the child is gone when the context is left, however it is left, and when this process dies, however it dies;
- inside the context the server has answered a health probe and generated a token;
- the child's environment is an allow-list: no proxy, no credentials;
- everything the child says is in the log file that the caller names.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
from pydantic import Field

from pantheon.adapters.cores import count_cores
from pantheon.adapters.local_http import local_client
from pantheon.adapters.metrics_text import parse_metrics
from pantheon.adapters.own_files import open_log, read_end
from pantheon.adapters.server_identity import read_bounded
from pantheon.adapters.socket_server import BASE_URL, SocketServer
from pantheon.core.errors import ModelError, ModelLostError, ModelTimeoutError
from pantheon.core.model import Frozen
from pantheon.ports.clock import Clock

ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")
FIRST_PROBE_S, SLOWEST_PROBE_S = 0.05, 0.5
PROBE_TIMEOUT_S = 10
MAX_METRICS_BYTES = 1_000_000
TAIL_BYTES, TAIL_LINES = 16_384, 10


class ServerSettings(Frozen):
    """How the embedded server uses the machine."""

    context_tokens: int = Field(default=8_192, ge=512, le=1_048_576)
    """Context that all slots share; one lone request may use all of it."""
    slots: int = Field(default=1, ge=1, le=1_024)
    """Requests that are decoded at once. Slots do not share a prefix: each computes its own (docs/models.md)."""
    threads: int = Field(default=0, ge=0, le=1_024)
    """0: one per physical core."""
    batch_tokens: int = Field(default=512, ge=32, le=8_192)
    """Prompt tokens that are computed in one go."""
    cache_ram_mib: int = Field(default=512, ge=0, le=1_048_576)
    """Memory for prefixes that were pushed out of their slot; 0 keeps none."""
    slot_similarity: float = Field(default=0.1, ge=0, le=1)
    """Share of a prompt that a slot must hold to be preferred over the one that rested longest."""
    ready_timeout_s: float = Field(default=180, gt=0, le=3_600)
    """Seconds that loading may take."""
    stop_grace_s: float = Field(default=3, gt=0, le=60)
    """Seconds after each way of asking the child to end."""


class EmbeddedServer(SocketServer):
    """An async context manager: the server runs inside it. Use one object once.

    Args:
        model: a GGUF file whose digest was compared.
        model_sha256: that digest.
        alias: name that the server gives the model.
        settings: how it uses the machine.
        log: file that the child's words are added to; its folder exists.
        environment: the process's environment; the child gets an allow-list of it.
        clock: for probing.
        socket: where to serve; None makes a folder for it.

    Raises:
        ModelError: on entry, when the child cannot be started or ends early; the hint is the end of its log.
        ModelTimeoutError: on entry, when it is not ready in time.

    Cancellation:
        At every await, of entry or exit, the child is killed and its folder removed before the error goes on.
    """

    def __init__(
        self,
        model: Path,
        *,
        model_sha256: str,
        alias: str,
        settings: ServerSettings,
        log: Path,
        environment: Mapping[str, str],
        clock: Clock,
        socket: Path | None = None,
    ) -> None:
        super().__init__(environment, clock, socket)
        self._model = model
        self._sha256 = model_sha256
        self._alias = alias
        self._settings = settings
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._http: httpx.AsyncClient | None = None

    @property
    def pid(self) -> int:
        """Process id of the child."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def model_sha256(self) -> str:
        """Digest of the model file that is served."""
        return self._sha256

    @property
    def alias(self) -> str:
        """Name that the server gives the model."""
        return self._alias

    async def _serve(self, socket: Path, stack: AsyncExitStack) -> None:
        self._process = await self._start(socket)
        stack.push_async_callback(self._stop, self._process)
        self._http = local_client(BASE_URL, uds=str(socket))
        stack.push_async_callback(self._http.aclose)
        await self._wait_ready(self._process, self._http)

    async def wait_exit(self) -> ModelLostError:
        """Wait until the child ends by itself; return the error that says how. For a watcher's task."""
        assert self._process is not None, "the server is not running"
        await self._process.wait()
        return ModelLostError(
            f"the embedded server ended ({_how(self._process.returncode)})", hint=_tail(self._log)
        )

    async def metrics(self, *, deadline_s: float = 10) -> Mapping[str, float]:
        """Return the server's counters by name, without the prefix ``llamacpp:``.

        ``prompt_tokens_total`` counts computed, ``prompt_tokens_cached_total`` reused prompt tokens.

        Raises:
            ModelLostError: the server cannot be reached.
            ModelTimeoutError: it did not answer in time.
        """
        assert self._http is not None, "the server is not running"
        try:
            async with asyncio.timeout(deadline_s):
                async with self._http.stream("GET", "/metrics") as response:
                    said = await read_bounded(response, MAX_METRICS_BYTES)
        except TimeoutError as error:
            raise ModelTimeoutError(
                f"the embedded server gave no metrics within {deadline_s:.0f} s"
            ) from error
        except httpx.HTTPError as error:
            raise ModelLostError(
                f"the embedded server gave no metrics: {error}", hint=_tail(self._log)
            ) from error
        if response.status_code != 200:
            raise ModelLostError(f"the embedded server gave no metrics: HTTP {response.status_code}")
        if said is None:
            raise ModelLostError("the embedded server gave more metrics than it can have")
        return parse_metrics(said.decode("utf-8", "replace"))

    async def _start(self, socket: Path) -> asyncio.subprocess.Process:
        try:
            with os.fdopen(open_log(self._log), "ab") as log:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-m", "pantheon.adapters.llama_child",
                    stdin=asyncio.subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd=socket.parent,
                    env={name: self._environment[name] for name in ENVIRONMENT if name in self._environment},
                    start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise ModelError(f"the embedded server cannot be started: {error}") from error
        assert process.stdin is not None
        process.stdin.write(json.dumps(self._order(socket)).encode() + b"\n")
        return process

    def _order(self, socket: Path) -> dict[str, Any]:
        return {
            "parent_pid": os.getpid(),
            "parent_thread_is_main": threading.get_native_id() == os.getpid(),
            "model": str(self._model),
            "alias": self._alias,
            "socket": str(socket),
            **self._settings.model_dump(exclude={"ready_timeout_s", "stop_grace_s"}),
            "threads": self._settings.threads or count_cores(),
        }

    async def _wait_ready(self, process: asyncio.subprocess.Process, http: httpx.AsyncClient) -> None:
        limit = self._settings.ready_timeout_s
        pause = FIRST_PROBE_S
        try:
            async with asyncio.timeout(limit):
                while not await _is_ready(http):
                    if process.returncode is not None:
                        raise await self.wait_exit()
                    await self._clock.sleep(pause)
                    pause = min(pause * 2, SLOWEST_PROBE_S)
        except TimeoutError as error:
            raise ModelTimeoutError(
                f"the embedded server was not ready within {limit:.0f} s", hint=_tail(self._log)
            ) from error

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        try:
            assert process.stdin is not None
            process.stdin.close()  # the child leaves by itself, unless it is loading
            for signum in (None, signal.SIGTERM):
                if signum is not None:
                    _send(process.pid, signum)
                try:
                    async with asyncio.timeout(self._settings.stop_grace_s):
                        await process.wait()
                        return
                except TimeoutError:
                    continue
        finally:
            if process.returncode is None:
                _send(process.pid, signal.SIGKILL)
                await process.wait()


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        health = await http.get("/health", timeout=PROBE_TIMEOUT_S)
        if health.status_code != 200:
            return False
        token = await http.post("/completion", json={"prompt": "1", "n_predict": 1, "cache_prompt": False})
    except httpx.TransportError:
        return False
    return token.status_code == 200


def _send(pid: int, signum: int) -> None:
    try:
        os.killpg(pid, signum)
    except ProcessLookupError:
        return  # already gone


def _tail(log: Path) -> str:
    try:
        lines = read_end(log, TAIL_BYTES).decode("utf-8", "replace").splitlines()
    except OSError as error:
        return f"{log}: {error.strerror}"
    return "\n  ".join([f"The end of {log}:", *(line[:300] for line in lines[-TAIL_LINES:])])


def _how(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit {code}"
