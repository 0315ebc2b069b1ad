"""The embedded server that is started again: real processes that die and hang, and one that never stays."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.http_model import HttpModelClient
from pantheon.adapters.kept_server import KeptServer
from pantheon.adapters.llama_server import EmbeddedServer, ServerSettings
from pantheon.core.chat import ChatRequest, Message, Sampling
from pantheon.core.errors import ModelError, ModelGoneError, ModelLostError
from pantheon.engine import guarded_model
from pantheon.engine.server_keeper import ServerKeeper
from pantheon.testing.store import FakeStore

LONG = ChatRequest(
    messages=(Message(role="user", content="Count from 1 to 500, one number a line."),),
    sampling=Sampling(max_tokens=400),
)
SHORT = LONG.model_copy(update={"sampling": Sampling(max_tokens=2)})


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """An environment whose folder for sockets has a short path."""
    with tempfile.TemporaryDirectory(prefix="pt-") as folder:
        yield {"PATH": os.environ["PATH"], "TMPDIR": folder}


def kept(model: Path, tmp_path: Path, environment: dict[str, str], *, restarts: int = 10) -> KeptServer:
    def make(socket: Path) -> EmbeddedServer:
        return EmbeddedServer(
            model,
            model_sha256="0" * 64,
            alias="small",
            settings=ServerSettings(context_tokens=1_024, threads=1, cache_ram_mib=0, stop_grace_s=0.5),
            log=tmp_path / "server.log",
            environment=environment,
            clock=SystemClock(),
            socket=socket,
        )

    return KeptServer(make, environment, SystemClock(), max_restarts=restarts)


async def test_a_server_that_never_stays_is_given_up(tmp_path: Path, environment: dict[str, str]) -> None:
    """Each start that fails says why and counts; after the last one the server is gone; its log has them all."""
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"no model")
    server = kept(bad, tmp_path, environment, restarts=2)
    with pytest.raises(ModelError, match="ended"):
        await server.__aenter__()
    server = kept(bad, tmp_path, environment, restarts=1)
    server._socket = Path(environment["TMPDIR"]) / "s.sock"
    with pytest.raises(ModelLostError, match="ended"):
        await server.mend(hung=False)
    with pytest.raises(ModelGoneError, match="1 times"):
        await server.mend(hung=False)
    assert (tmp_path / "server.log").read_text().count("did not start") == 2


@pytest.mark.model
async def test_a_real_server_is_brought_back_from_death_and_from_a_hang(
    small_model: Path, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in mid-stream, then stopped in mid-stream: the breaker opens, the process is started again at the same
    address, and the next call is answered; inside the context's end no process is left."""
    monkeypatch.setattr(guarded_model, "PROBE_S", 3.0)
    held: list[bool] = []
    told: list[str] = []
    back = asyncio.Event()

    def hold(lost: bool) -> None:
        held.append(lost)
        if not lost:
            back.set()

    async with kept(small_model, tmp_path, environment) as server:
        client = HttpModelClient("real", base_url=server.base_url, uds=str(server.socket))
        keeper = ServerKeeper(client, FakeStore(SystemClock()), SystemClock(), "n1", server)
        keeper.join(hold=hold, give_up=lambda: told.append("gone"), tell=lambda name, _: told.append(name))
        pids = [server.pid]
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            running = group.create_task(keeper.run(), name="keeper")
            for signum in (signal.SIGKILL, signal.SIGSTOP):
                call = group.create_task(_lose(keeper.model), name="call")
                await asyncio.sleep(0.5)
                os.killpg(server.pid, signum)
                await call
                await back.wait()
                back.clear()
                pids.append(server.pid)
                assert (await keeper.model.chat(SHORT, deadline_s=30)).text
            running.cancel()
        await client.aclose()
        address = server.socket
    assert len(set(pids)) == 3
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not address.exists()
    assert held == [True, False, True, False]
    assert (told[0], told[-1], "gone" in told) == ("night.server_lost", "night.server_back", False)


async def _lose(model: guarded_model.GuardedModel) -> None:
    with pytest.raises(ModelLostError):
        await model.chat(LONG, deadline_s=4)


@pytest.mark.model
async def test_a_real_server_that_refuses_while_it_loads_is_waited_for(
    small_model: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The 503 of a real process opens the breaker, probes find it loading, and then it is back."""
    socket = Path(environment["TMPDIR"]) / "s.sock"
    told: list[tuple[str, str]] = []
    back = asyncio.Event()

    def hold(lost: bool) -> None:
        if not lost:
            back.set()

    loading = EmbeddedServer(
        small_model,
        model_sha256="0" * 64,
        alias="small",
        settings=ServerSettings(context_tokens=1_024, threads=1, cache_ram_mib=0),
        log=tmp_path / "server.log",
        environment=environment,
        clock=SystemClock(),
        socket=socket,
    )
    async with HttpModelClient("real", base_url="http://localhost", uds=str(socket)) as client:
        keeper = ServerKeeper(client, FakeStore(SystemClock()), SystemClock(), "n1")
        keeper.join(hold=hold, give_up=back.set, tell=lambda name, why: told.append((name, why)))
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            starting = group.create_task(loading.__aenter__(), name="load")
            running = group.create_task(keeper.run(), name="keeper")
            while not socket.is_socket():  # noqa: ASYNC110 (another process makes it)
                await asyncio.sleep(0.01)
            with pytest.raises(ModelError):
                await keeper.model.chat(SHORT, deadline_s=0.05)
            await back.wait()
            assert (await keeper.model.chat(SHORT, deadline_s=30)).text
            await starting
            running.cancel()
        await loading.__aexit__(None, None, None)
    assert told[0][0] == "night.server_lost"
    assert "503" in " ".join(why for _, why in told)
