"""A real vLLM on CPU over a Unix socket, for ``make test-vllm`` and the throughput benchmark."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx

START_S = 300.0
STOP_S = 30.0
NAME = "smollm2-135m"
PREPARED = Path(__file__).parents[2] / ".vllm"
"""Where ``make vllm-setup`` puts vLLM's environment, the model and its adapter."""
VARIABLES = {
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
}


@dataclass(frozen=True)
class Vllm:
    """A server that answers.

    Args:
        socket: its Unix socket.
        log: everything that it printed.
        port: port of loopback where it listens instead; None for the socket.
    """

    socket: Path
    log: Path
    port: int | None = None

    def http(self) -> httpx.Client:
        """Return a plain client, for what Pantheon's own does not ask."""
        if self.port is not None:
            return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120, trust_env=False)
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://localhost", timeout=120
        )


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


def command(prepared: Prepared, place: Path, *, port: int | None, sequences: int) -> list[str]:
    """Return the command of the server.

    Args:
        prepared: environment and model.
        place: Unix socket to listen on, unless a port is given.
        port: port of loopback to listen on instead.
        sequences: requests that it decodes at once.
    """
    where = ["--uds", str(place)] if port is None else ["--host", "127.0.0.1", "--port", str(port)]
    return [
        str(prepared.python), "-m", "vllm.entrypoints.openai.api_server",
        "--model", str(prepared.model), "--served-model-name", NAME,
        "--dtype", "float32", "--enforce-eager", "--max-model-len", "4096",
        "--max-num-seqs", str(sequences), *where,
        "--enable-prefix-caching", "--enable-prompt-tokens-details", "--max-logprobs", "20",
        "--enable-auto-tool-choice", "--tool-call-parser", "hermes",
        "--enable-lora", "--max-lora-rank", "8",
    ]  # fmt: skip


@contextmanager
def run_vllm(
    prepared: Prepared | None = None,
    *,
    port: int | None = None,
    sequences: int = 16,
    extra: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Vllm]:
    """Start the server, wait until it is ready, and end it with everything that it started.

    Args:
        prepared: what ``make vllm-setup`` made.
        port: port of loopback to listen on instead of a Unix socket.
        sequences: requests that it decodes at once.
        extra: further variables of its environment.

    Raises:
        FileNotFoundError: nothing was prepared.
        RuntimeError: it ended, or was not ready in time; the message ends with its last lines.
    """
    prepared = prepared or Prepared()
    prepared.check()
    folder = Path(tempfile.mkdtemp(prefix="vllm-"))
    server = Vllm(folder / "s.sock", folder / "server.log", port)
    inherited = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            command(prepared, server.socket, port=port, sequences=sequences),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**inherited, **VARIABLES, **extra},
            start_new_session=True,
        )  # fmt: skip
        try:
            _wait_until_ready(process, server)
            yield server
        finally:
            _end(process)
            shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(process: "subprocess.Popen[bytes]", server: Vllm) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if _is_healthy(server):
            return
        time.sleep(0.5)
    said = server.log.read_text(errors="replace")[-2_000:]
    raise RuntimeError(f"vLLM was not ready within {START_S:.0f} s or ended; it said: {said}")


def _is_healthy(server: Vllm) -> bool:
    family, address = (
        (socket.AF_UNIX, str(server.socket))
        if server.port is None
        else (socket.AF_INET, ("127.0.0.1", server.port))
    )
    # httpx leaves a socket open whose connection was refused, so it is tried before.
    with socket.socket(family) as tried:
        try:
            tried.connect(address)
        except OSError:
            return False
    try:
        with server.http() as http:
            return http.get("/health").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
