"""Asks a vLLM what it has done so far, from the counters of its ``/metrics``."""

import httpx

from pantheon.adapters.metrics_text import parse_labelled
from pantheon.adapters.server_identity import read_bounded
from pantheon.adapters.server_load import MAX_METRICS_BYTES

_DONE = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total")


async def ask_work(http: httpx.AsyncClient) -> float | None:
    """Return how many tokens and requests ``/metrics`` counts as done; None where it does not say.

    Raises:
        httpx.HTTPError: it cannot be reached.
    """
    async with http.stream("GET", "/metrics") as response:
        said = await read_bounded(response, MAX_METRICS_BYTES)
    if response.status_code != httpx.codes.OK or said is None:
        return None
    found = parse_labelled(said.decode("utf-8", "replace"))
    counts = [value for name in _DONE for value in found.get(name, ())]
    return sum(counts) if counts else None
