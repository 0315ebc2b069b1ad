"""A LoRA adapter whose loading is cancelled at an exact step."""

import asyncio
from pathlib import Path

import pytest

from pantheon.adapters.lora_adapters import load_adapter, unload_adapter
from pantheon.testing.scripted_model import Say, serve_script
from pantheon.testing.steps import Steps


@pytest.mark.parametrize("late", [False, True])
async def test_an_adapter_is_loaded_or_not(tmp_path: Path, late: bool) -> None:
    """Wherever its loading is cancelled, the server has it only for whoever was told so, who unloads it again."""
    socket = tmp_path / "s.sock"
    async with serve_script(lambda _: Say("yes"), socket) as server:
        server.loads_adapters = True
        for at in range(1, 100):
            told: list[bool] = []

            async def load(told: list[bool] = told) -> None:
                told.append(await load_adapter("http://localhost", str(socket), "e", "a", "/a", deadline_s=5))

            steps = Steps(at, late=late)
            task = steps.start(load(), name="load")
            await asyncio.wait([task])
            assert told == ([True] if "a" in server.further else [])
            if told:
                await unload_adapter("http://localhost", str(socket), "e", "a", deadline_s=5)
            if steps.count < at:
                assert at > 5, "each answer is waited for"
                return
        pytest.fail("the adapter was never loaded")
