"""Has a running server load and unload LoRA adapters, the way vLLM lets it be done.

Invariants:
- an adapter that the server lists already is used as it is, and is not ours to unload;
- what was loaded is listed afterwards, or was not loaded.

Source: vLLM's documentation of ``/v1/load_lora_adapter`` and ``/v1/unload_lora_adapter``, which a server offers when it
runs with ``VLLM_ALLOW_RUNTIME_LORA_UPDATING``.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx

from pantheon.adapters.finishing import finish
from pantheon.adapters.local_http import local_client
from pantheon.adapters.server_identity import ask_identity, ask_listing, read_bounded
from pantheon.core.errors import (
    LocalityError,
    ModelError,
    ModelLostError,
    ModelRefusedError,
    ModelTimeoutError,
)

MAX_ANSWER_BYTES = 65_536
TAKE_BACK_S = 5.0
"""Seconds that a server has to unload an adapter whose loading was broken off."""
NO_SUCH_PATH = frozenset({404, 405, 501})


async def load_adapter(
    base_url: str, uds: str | None, endpoint: str, name: str, folder: str, *, deadline_s: float
) -> bool:
    """Have a server load an adapter; False where it lists it already.

    Args:
        base_url, uds: its checked address.
        endpoint: its name, for messages.
        name: what the adapter is asked for by.
        folder: where the server finds it.
        deadline_s: seconds that it may take.

    Raises:
        LocalityError: the server fronts a cloud, or the address leads elsewhere.
        ModelRefusedError: it loads no adapters, or not this one.
        ModelTimeoutError, ModelLostError, ModelOutputError: it does not answer, or not so.

    Cancellation:
        What may have been loaded is unloaded, as well as the server lets itself be told.
    """
    ordered = False
    try:
        async with _asking(base_url, uds, f"endpoint {endpoint}", f"load {name!r}", deadline_s) as http:
            # Only who lists its models, and none of a cloud's, is told of a folder of this machine.
            if name in (await ask_listing(http, endpoint, name)).names:
                return False
            ordered = True
            await _order(http, endpoint, "load", {"lora_name": name, "lora_path": folder})
            await ask_identity(http, endpoint, name)
    except (ModelRefusedError, LocalityError):
        # One that fronts a cloud is told no more.
        raise
    except BaseException:
        # Nobody would unload what no night knows to be its own: the next one would take it for somebody else's.
        if ordered:
            await finish(_take_back(base_url, uds, endpoint, name), name=f"unload {name}")
        raise
    return True


async def unload_adapter(
    base_url: str, uds: str | None, endpoint: str, name: str, *, deadline_s: float
) -> None:
    """Have a server unload an adapter that it was made to load. Raises as ``load_adapter`` does."""
    async with _asking(base_url, uds, f"endpoint {endpoint}", f"unload {name!r}", deadline_s) as http:
        await _order(http, endpoint, "unload", {"lora_name": name})


async def _take_back(base_url: str, uds: str | None, endpoint: str, name: str) -> None:
    with suppress(ModelError, LocalityError):
        await unload_adapter(base_url, uds, endpoint, name, deadline_s=TAKE_BACK_S)


@asynccontextmanager
async def _asking(
    base_url: str, uds: str | None, who: str, what: str, deadline_s: float
) -> AsyncIterator[httpx.AsyncClient]:
    try:
        async with asyncio.timeout(deadline_s), local_client(base_url, uds=uds) as http:
            yield http
    except TimeoutError as error:
        raise ModelTimeoutError(f"{who} did not {what} within {deadline_s:.0f} s") from error
    except httpx.HTTPError as error:
        raise ModelLostError(f"{who} cannot be reached: {type(error).__name__}") from error


async def _order(http: httpx.AsyncClient, endpoint: str, verb: str, body: dict[str, str]) -> None:
    async with http.stream("POST", f"/v1/{verb}_lora_adapter", json=body) as response:
        said = await read_bounded(response, MAX_ANSWER_BYTES) or b""
    name = body["lora_name"]
    if response.status_code in NO_SUCH_PATH:
        raise ModelRefusedError(
            f"endpoint {endpoint} does not list the adapter {name!r} and {verb}s none while it runs",
            hint="Start it with the adapter, or vLLM with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1.",
        )
    if response.status_code != 200:
        told = said[:300].decode("utf-8", "replace")
        raise ModelRefusedError(
            f"endpoint {endpoint} did not {verb} the adapter {name!r} ({response.status_code}): {told}"
        )
