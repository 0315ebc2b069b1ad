"""Asks a model server how full it is, where it says so: vLLM's gauges, or llama.cpp's."""

import asyncio

import httpx

from pantheon.adapters.metrics_text import parse_load
from pantheon.adapters.server_identity import read_bounded
from pantheon.core.concurrency import Load

DEADLINE_S = 2.0
MAX_METRICS_BYTES = 2 * 1024 * 1024


async def ask_load(http: httpx.AsyncClient) -> Load:
    """Return what ``/metrics`` says now.

    A server without that page, or one that is too busy to show it, says nothing; that is no fault, since calls go on.
    """
    try:
        async with asyncio.timeout(DEADLINE_S), http.stream("GET", "/metrics") as response:
            said = await read_bounded(response, MAX_METRICS_BYTES)
    except (TimeoutError, httpx.HTTPError):
        return Load()
    if response.status_code != httpx.codes.OK or said is None:
        return Load()
    return parse_load(said.decode("utf-8", "replace"))
