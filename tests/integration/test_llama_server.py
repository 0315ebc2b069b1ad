"""The embedded server answers, cannot collide, and never outlives the one who started it."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.llama_server import EmbeddedServer, ServerSettings
from pantheon.core.errors import ModelError, ModelLostError, ModelTimeoutError

SMALL = ServerSettings(context_tokens=1_024, threads=1, cache_ram_mib=0)
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "s",
    "https_proxy": "http://127.0.0.1:9",
    "PYTHONPATH": "/nowhere",
    "LD_PRELOAD": "",
}


def server(
    model: Path, tmp_path: Path, settings: ServerSettings = SMALL, sha256: str = "0" * 64
) -> EmbeddedServer:
    return EmbeddedServer(
        model,
        model_sha256=sha256,
        alias="small",
        settings=settings,
        log=tmp_path / "server.log",
        environment={"PATH": os.environ["PATH"], "TMPDIR": str(short(tmp_path)), **SECRETS},
        clock=SystemClock(),
    )


@pytest.fixture(autouse=True)
def sockets(tmp_path: Path) -> Iterator[Path]:
    """A folder for sockets: pytest's own have too long a path. Removed with what killed servers leave in it."""
    with tempfile.TemporaryDirectory(prefix="pt-") as folder:
        (tmp_path / "sockets").symlink_to(folder)
        yield Path(folder)


def short(tmp_path: Path) -> Path:
    return (tmp_path / "sockets").resolve()


@asynccontextmanager
async def client(running: EmbeddedServer) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(running.socket))
    async with httpx.AsyncClient(transport=transport, base_url=running.base_url, timeout=60) as http:
        yield http


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


def is_alive(pid: int) -> bool:
    return state(pid) not in ("gone", "Z")


def wait_state(pid: int, wanted: str) -> None:
    deadline = time.monotonic() + 10
    while state(pid) != wanted:
        assert time.monotonic() < deadline, f"process {pid} is {state(pid)}, not {wanted}"
        time.sleep(0.01)


def wait_dead(pid: int, seconds: float) -> float:
    began = time.monotonic()
    while is_alive(pid):
        assert time.monotonic() - began < seconds, f"process {pid} still lives after {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.model
async def test_serves_on_a_private_socket(small_model: Path, tmp_path: Path) -> None:
    """It answers in its schema, counts tokens, shows no secret, and leaves nothing but its log."""
    async with server(small_model, tmp_path, sha256=small_model.stem) as running, client(running) as http:
        assert running.model_sha256 == small_model.stem
        assert stat.S_ISSOCK(running.socket.stat().st_mode)
        assert running.socket.parent.stat().st_mode & 0o777 == 0o700
        assert len(os.fsencode(running.socket)) < 100
        assert os.getpgid(running.pid) == running.pid
        seen = await asyncio.to_thread(Path(f"/proc/{running.pid}/environ").read_bytes)
        assert not [name for name in SECRETS if name.encode() in seen]
        before = await running.metrics()
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        reply = await http.post(
            "/v1/chat/completions",
            json={
                "messages": [{"role": "user", "content": "Say a number."}],
                "max_tokens": 24,
                "temperature": 0,
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
            },
        )
        assert isinstance(
            httpx.Response(200, text=reply.json()["choices"][0]["message"]["content"]).json()["n"], int
        )
        assert reply.json()["model"] == "small"
        after = await running.metrics()
        assert after["prompt_tokens_total"] > before["prompt_tokens_total"]
        long = await http.post("/v1/completions", json={"prompt": "word " * 3_000, "max_tokens": 1})
        assert long.status_code == 400, "a prompt that is too long must be refused, not cut"
        pid, folder = running.pid, running.socket.parent
    wait_dead(pid, 0.1)
    assert not folder.exists()
    assert (tmp_path / "server.log").stat().st_mode & 0o077 == 0


@pytest.mark.model
async def test_two_servers_do_not_meet(small_model: Path, tmp_path: Path) -> None:
    """Two at once have an address each; ending one leaves the other."""
    async with server(small_model, tmp_path) as one:
        async with server(small_model, tmp_path) as two:
            assert one.socket != two.socket
        assert await one.metrics()


@pytest.mark.model
async def test_a_server_that_dies_is_noticed(small_model: Path, tmp_path: Path) -> None:
    """Killed from outside: the watcher says how, counters are lost, and leaving still works."""
    async with server(small_model, tmp_path) as running:
        os.kill(running.pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            assert "signal 9" in (await running.wait_exit()).message
        with pytest.raises(ModelLostError):
            await running.metrics()
        folder = running.socket.parent
    assert not folder.exists()


@pytest.mark.model
async def test_a_server_that_hangs_is_killed(small_model: Path, tmp_path: Path) -> None:
    """One that no longer reacts to anything is gone after its grace."""
    settings = SMALL.model_copy(update={"stop_grace_s": 0.2})
    async with server(small_model, tmp_path, settings) as running:
        pid = running.pid
        os.kill(pid, signal.SIGSTOP)
        await asyncio.to_thread(wait_state, pid, "T")
        with pytest.raises(ModelTimeoutError):
            await running.metrics(deadline_s=0.2)
    wait_dead(pid, 0.1)


PARENT = """
import asyncio, sys, os, threading
from pathlib import Path
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.llama_server import EmbeddedServer, ServerSettings

class Server(EmbeddedServer):
    async def _start(self, socket):
        process = await super()._start(socket)
        print("started", process.pid, flush=True)
        return process

async def main():
    async with Server(
        Path(sys.argv[1]), model_sha256="0" * 64, alias="m", settings=ServerSettings(context_tokens=1024, threads=1),
        log=Path(sys.argv[2]), environment=dict(os.environ), clock=SystemClock(),
    ) as running:
        print("ready", running.pid, flush=True)
        await asyncio.sleep(600)

if sys.argv[3] == "main":
    asyncio.run(main())
else:
    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    thread.join()
"""


@pytest.mark.model
@pytest.mark.parametrize("when", ["started", "ready"])
@pytest.mark.parametrize("thread", ["main", "other"])
def test_dies_with_its_parent(small_model: Path, tmp_path: Path, when: str, thread: str) -> None:
    """``kill -9`` of the parent, while loading or serving: the child is gone as soon as it can be.

    Started from another thread than the main one, the kernel's signal cannot be used; the end of stdin is noticed as
    soon as the model is loaded.
    """
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(small_model), str(tmp_path / "log"), thread],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(short(tmp_path)), "XDG_RUNTIME_DIR": ""},
    ) as parent:
        assert parent.stdout is not None
        child = 0
        for line in parent.stdout:
            word, pid = line.split()
            child = int(pid)
            if word == when:
                break
        if when == "started":
            time.sleep(0.5)
        assert is_alive(child)
        parent.kill()
        parent.wait()
        wait_dead(child, 60)


class Watched(EmbeddedServer):
    """Remembers what it started."""

    child = 0
    folder = Path()

    async def _start(self, socket: Path) -> asyncio.subprocess.Process:
        self.folder = socket.parent
        process = await super()._start(socket)
        self.child = process.pid
        return process


@pytest.mark.model
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("pause", [0.0, 0.02, 0.3])
async def test_cancellation_leaves_no_process(
    small_model: Path, tmp_path: Path, pause: float, again: bool
) -> None:
    """Cancelled while it loads, and once more while it stops: no child, no folder."""
    watched = Watched(
        small_model, model_sha256="0" * 64, alias="small", settings=SMALL, log=tmp_path / "log",
        environment={}, clock=SystemClock(),
    )  # fmt: skip

    async def enter() -> None:
        async with watched:
            await asyncio.sleep(600)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(enter(), name="enter")
        await asyncio.sleep(pause)
        task.cancel()
        if again:
            await asyncio.sleep(0.05)
            task.cancel()
    assert task.cancelled()
    if watched.child:
        wait_dead(watched.child, 0)
    assert watched.folder == Path() or not watched.folder.exists()


async def test_a_file_that_is_no_model_fails_fast(tmp_path: Path) -> None:
    """The child's end is noticed at once, and the end of its log is in the hint."""
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(1_000))
    before = set(short(tmp_path).iterdir())
    with pytest.raises(ModelError, match="ended") as caught:
        async with server(bad, tmp_path):
            pytest.fail("a broken model was served")
    assert "failed to load model" in caught.value.hint
    assert "Traceback" not in caught.value.hint
    assert not [p for p in set(short(tmp_path).iterdir()) - before if p.name.startswith("pantheon-llama-")]


@pytest.mark.model
async def test_a_server_that_is_not_ready_in_time_is_an_error(small_model: Path, tmp_path: Path) -> None:
    """The limit on loading holds, and the child is gone."""
    settings = SMALL.model_copy(update={"ready_timeout_s": 0.01, "stop_grace_s": 0.1})
    with pytest.raises(ModelTimeoutError, match="not ready within"):
        async with server(small_model, tmp_path, settings):
            pytest.fail("it cannot be ready yet")


async def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A link in the place of the log is not followed; the error is ours."""
    (tmp_path / "server.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="cannot be started"):
        async with server(tmp_path / "none.gguf", tmp_path):
            pytest.fail("it cannot have started")
    assert not (tmp_path / "elsewhere").exists()
