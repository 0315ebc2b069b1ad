"""The model client's contract, on the scripted server and on the real embedded one."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.http_model import HttpModelClient
from pantheon.adapters.llama_server import EmbeddedServer, ServerSettings
from pantheon.ports.model import ModelClient
from pantheon.testing.model_contract import ModelContract
from pantheon.testing.scripted_model import behave_well, serve_script


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
    async def client(self, tmp_path: Path, small_model: Path) -> AsyncIterator[ModelClient]:
        server = EmbeddedServer(
            small_model,
            model_sha256=small_model.stem,
            alias="small",
            settings=ServerSettings(context_tokens=2_048, slots=1),
            log=tmp_path / "server.log",
            environment=dict(os.environ),
            clock=SystemClock(),
        )
        async with server as running:
            client = HttpModelClient("embedded", base_url=running.base_url, uds=str(running.socket))
            yield client
            await client.aclose()
