"""The model client's contract, on the scripted server and on the real embedded one."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.http_model import HttpModelClient
from pantheon.adapters.llama_server import EmbeddedServer, ServerSettings
from pantheon.ports.model import ModelClient
from pantheon.testing.model_contract import ModelContract
from pantheon.testing.scripted_model import behave_well, serve_script
from pantheon.testing.thread import in_thread

LOADS_IN_S = 60


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory, small_model: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(
        small_model,
        model_sha256=small_model.stem,
        alias="small",
        # Other tests run beside these, and threads that wait for a busy core wait for each other.
        settings=ServerSettings(context_tokens=2_048, slots=1, threads=1),
        log=tmp_path_factory.mktemp("embedded") / "server.log",
        environment=dict(os.environ),
        clock=SystemClock(),
    )
    with in_thread(server, opens_in_s=LOADS_IN_S) as running:
        yield running


class TestScriptedServer(ModelContract):
    """The scripted server keeps the contract that tests rely on."""

    @pytest.fixture
    async def client(self, tmp_path: Path) -> AsyncIterator[ModelClient]:
        async with serve_script(behave_well, tmp_path / "m.sock"):
            client = HttpModelClient("scripted", base_url="http://localhost", uds=str(tmp_path / "m.sock"))
            yield client
            await client.aclose()


@pytest.mark.model
class TestEmbeddedServer(ModelContract):
    """The real embedded server keeps it with the small model."""

    @pytest.fixture
    async def client(self, embedded: EmbeddedServer) -> AsyncIterator[ModelClient]:
        client = HttpModelClient("embedded", base_url=embedded.base_url, uds=str(embedded.socket))
        yield client
        await client.aclose()
