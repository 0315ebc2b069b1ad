"""Asks a vLLM what it has done so far and whether there is more to do, from the counters of its ``/metrics``."""

from typing import NamedTuple

import httpx

from pantheon.adapters.metrics_text import parse_labelled
from pantheon.adapters.server_identity import read_bounded
from pantheon.adapters.server_load import MAX_METRICS_BYTES

_DONE = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total")
_OPEN = ("vllm:num_requests_running", "vllm:num_requests_waiting")


class Work(NamedTuple):
    """What a server counts."""

    done: float | None
    """Tokens and requests that are done; None where it does not say."""
    open: bool
    """Whether requests run or wait."""


async def ask_work(http: httpx.AsyncClient) -> Work:
    """Return what ``/metrics`` counts now; a server without that page counts nothing.

    Raises:
        httpx.HTTPError: it cannot be reached.
    """
    async with http.stream("GET", "/metrics") as response:
        said = await read_bounded(response, MAX_METRICS_BYTES)
    if response.status_code != httpx.codes.OK or said is None:
        return Work(None, False)
    found = parse_labelled(said.decode("utf-8", "replace"))
    counts = [value for name in _DONE for value in found.get(name, ())]
    waiting = sum(value for name in _OPEN for value in found.get(name, ()))
    return Work(sum(counts) if counts else None, waiting > 0)
