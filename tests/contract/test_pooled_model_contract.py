"""A pool keeps the contract of one model client: over scripted servers, and over two real ones of which one dies."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.http_model import HttpModelClient
from pantheon.adapters.llama_server import EmbeddedServer, ServerSettings
from pantheon.core.chat import ChatRequest, Message, Sampling
from pantheon.engine.endpoint_models import EndpointModels
from pantheon.engine.pooled_model import PooledModel
from pantheon.ports.model import ModelClient
from pantheon.testing.model_contract import ModelContract
from pantheon.testing.scripted_model import behave_well, serve_script


def pool_of(sockets: Sequence[Path]) -> PooledModel:
    clients = {
        path.stem: HttpModelClient(path.stem, base_url="http://localhost", uds=str(path)) for path in sockets
    }
    endpoints = [(EndpointModels(name, {"": client}), 1) for name, client in clients.items()]
    return PooledModel(endpoints, SystemClock())


class TestPool(ModelContract):
    """Two scripted servers as one client."""

    @pytest.fixture
    async def client(self, tmp_path: Path) -> AsyncIterator[ModelClient]:
        sockets = [tmp_path / "a.sock", tmp_path / "b.sock"]
        async with AsyncExitStack() as stack:
            for socket in sockets:
                await stack.enter_async_context(serve_script(behave_well, socket))
            pool = pool_of(sockets)
            await stack.enter_async_context(pool.kept())
            yield pool
            await pool.aclose()


@pytest.mark.model
async def test_a_real_server_that_is_killed_in_mid_stream_is_gone_round(
    small_model: Path, tmp_path: Path
) -> None:
    """The call under way is answered by the other server inside its deadline, and so is the next one."""

    def server(name: str) -> EmbeddedServer:
        return EmbeddedServer(
            small_model,
            model_sha256=small_model.stem,
            alias="small",
            settings=ServerSettings(context_tokens=1_024, threads=1, slots=1, cache_ram_mib=0),
            log=tmp_path / f"{name}.log",
            environment=dict(os.environ),
            clock=SystemClock(),
        )

    long = ChatRequest(
        messages=(Message(role="user", content="Write the numbers from 1 to 100, one after the other."),),
        sampling=Sampling(max_tokens=64),
    )
    async with server("a") as one, server("b") as two, asyncio.timeout(120):
        processes = {one.socket.parent.name: one, two.socket.parent.name: two}
        clients = {
            name: HttpModelClient(name, base_url=running.base_url, uds=str(running.socket))
            for name, running in processes.items()
        }
        endpoints = [(EndpointModels(name, {"": client}), 1) for name, client in clients.items()]
        pool = PooledModel(endpoints, SystemClock())
        async with pool.kept():
            first = (await pool.chat(long, deadline_s=60)).endpoint
            async with asyncio.TaskGroup() as group:
                call = group.create_task(pool.chat(long, deadline_s=60), name="call")
                await asyncio.sleep(0.1)
                pid = processes[first].pid
                assert pid is not None
                os.killpg(pid, signal.SIGKILL)
            reply = call.result()
            assert reply.endpoint != first and reply.tries > 1 and reply.usage.completion_tokens > 1
            assert (await pool.chat(long, deadline_s=60)).endpoint == reply.endpoint
        await pool.aclose()
