"""A real vLLM on CPU over a Unix socket, for ``make test-vllm`` and the throughput benchmark."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import httpx

from pantheon.adapters.adapter_files import read_rank
from pantheon.core.vllm import VllmServer, fitting_rank, vllm_command, vllm_environment

START_S = 300.0
STOP_S = 30.0
NAME = "smollm2-135m"
PREPARED = Path(__file__).parents[2] / ".vllm"
"""Where ``make vllm-setup`` puts vLLM's environment, the model and its adapter."""
GENERATED = re.compile(r"^vllm:generation_tokens_total\{[^}]*\} (\S+)$", re.MULTILINE)
RUNNING = re.compile(r"^vllm:num_requests_running\{[^}]*\} (\S+)$", re.MULTILINE)
TOOLS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
"""Native tool calls, which only a test asks for."""
ADAPTER = "tiny"
"""What tests call the adapter that is prepared."""


@dataclass(frozen=True)
class Prepared:
    """What ``make vllm-setup`` made."""

    folder: Path = PREPARED

    @property
    def python(self) -> Path:
        return self.folder / "venv" / "bin" / "python"

    @property
    def model(self) -> Path:
        return self.folder / NAME

    @property
    def adapter(self) -> Path:
        return self.folder / f"{NAME}-lora"

    def check(self) -> None:
        """Raise ``FileNotFoundError`` with what to do when something is missing."""
        for path in (self.python, self.model / "model.safetensors", self.adapter / "adapter_config.json"):
            if not path.exists():
                raise FileNotFoundError(f"{path} is not there; run make vllm-setup")


@dataclass
class Vllm:
    """One server, which can be made to fail and started again at the same address.

    Args:
        prepared: environment and model.
        socket: its Unix socket.
        log: everything that it prints.
        port: port of loopback where it listens instead; None for the socket.
        sequences: requests that it decodes at once.
        adapters: whether adapters can be loaded while it serves, which costs those that have none up to a fifth.
        extra: further variables of its environment.
    """

    prepared: Prepared
    socket: Path
    log: Path
    port: int | None = None
    sequences: int = 16
    adapters: bool = True
    extra: Mapping[str, str] = field(default_factory=dict)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def group(self) -> int:
        """Process group of the server and all that it started."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def http(self) -> httpx.Client:
        """Return a plain client, for what Pantheon's own does not ask."""
        if self.port is not None:
            return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120, trust_env=False)
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://localhost", timeout=120
        )

    def generated(self) -> int:
        """Return how many tokens it has generated since it was started."""
        return self._measured(GENERATED)

    def running(self) -> int:
        """Return how many requests it is answering."""
        return self._measured(RUNNING)

    def start(self, name: str = NAME) -> None:
        """Start it anew and wait until it is ready; one that still runs is killed.

        Args:
            name: the model's name in its listing.

        Raises:
            RuntimeError: it ended, or was not ready in time; the message ends with its last lines.
        """
        self.kill()
        self.socket.unlink(missing_ok=True)
        inherited = {one: os.environ[one] for one in ("HOME", "LANG", "PATH") if one in os.environ}
        server = self._planned(name)
        words = [*vllm_command(server), *TOOLS]
        variables = {**vllm_environment(server), **self.extra}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**inherited, **variables}, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._is_healthy():
                return
            time.sleep(0.5)
        said = self.log.read_text(errors="replace")[-2_000:]
        raise RuntimeError(f"vLLM was not ready within {START_S:.0f} s or ended; it said: {said}")

    def signal(self, signum: int) -> None:
        """Send a signal to the server and all that it started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signum)

    def kill(self) -> None:
        """Kill it with all that it started, and wait for its end."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def kill_engine(self) -> None:
        """Kill the process that computes, and leave the one that speaks HTTP, which then answers with errors."""
        assert self._process is not None, "the server was not started"
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        children = [pid for one in threads for pid in one.read_text().split()]
        named = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
        [engine] = [pid for pid, words in named.items() if b"EngineCore" in words]
        os.kill(engine, signal.SIGKILL)

    def end(self) -> None:
        """Ask it to end, kill what is left."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        self.kill()

    def _planned(self, name: str) -> VllmServer:
        """Return the server as Pantheon's own configuration would describe it on a machine without a GPU."""
        return VllmServer(
            python=str(self.prepared.python),
            model=str(self.prepared.model),
            name=name,
            uds=str(self.socket) if self.port is None else "",
            port=self.port or 8_000,
            dtype="float32",
            context_tokens=4_096,
            max_num_seqs=self.sequences,
            cpu_cache_gib=2,
            cpu_threads=len(os.sched_getaffinity(0)),
            eager=True,
            runtime_adapters={ADAPTER: str(self.prepared.adapter)} if self.adapters else {},
            max_lora_rank=fitting_rank([read_rank(self.prepared.adapter)]) if self.adapters else 0,
        )

    def _measured(self, name: re.Pattern[str]) -> int:
        with self.http() as http:
            found = name.findall(http.get("/metrics").text)
        return int(sum(float(one) for one in found))

    def _is_healthy(self) -> bool:
        family, address = (
            (socket.AF_UNIX, str(self.socket))
            if self.port is None
            else (socket.AF_INET, ("127.0.0.1", self.port))
        )
        # httpx leaves a socket open whose connection was refused, so it is tried before.
        with socket.socket(family) as tried:
            try:
                tried.connect(address)
            except OSError:
                return False
        try:
            with self.http() as http:
                return http.get("/health").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@contextmanager
def run_vllm(
    prepared: Prepared | None = None,
    *,
    port: int | None = None,
    sequences: int = 16,
    adapters: bool = True,
    extra: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Vllm]:
    """Start a server, and end it with everything that it started.

    Args:
        prepared: what ``make vllm-setup`` made.
        port: port of loopback to listen on instead of a Unix socket.
        sequences: requests that it decodes at once.
        adapters: whether adapters can be loaded while it serves.
        extra: further variables of its environment.

    Raises:
        FileNotFoundError: nothing was prepared.
        RuntimeError: it ended, or was not ready in time.
    """
    prepared = prepared or Prepared()
    prepared.check()
    folder = Path(tempfile.mkdtemp(prefix="vllm-"))
    server = Vllm(prepared, folder / "s.sock", folder / "server.log", port, sequences, adapters, extra)
    try:
        server.start()
        yield server
    finally:
        server.end()
        shutil.rmtree(folder, ignore_errors=True)
