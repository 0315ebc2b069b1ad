"""The real vLLM over its Unix socket: the model client's contract, and what a night needs beyond it."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pantheon.adapters.http_model import HttpModelClient
from pantheon.core.chat import ChatRequest, Message, Sampling
from pantheon.ports.model import ModelClient
from pantheon.testing.model_contract import ModelContract
from pantheon.testing.vllm_server import NAME, Prepared, Vllm

pytestmark = pytest.mark.vllm

DEADLINE_S = 120.0
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
async def client(vllm: Vllm) -> AsyncIterator[ModelClient]:
    client = HttpModelClient("vllm", base_url="http://localhost", uds=str(vllm.socket))
    yield client
    await client.aclose()


class TestVllm(ModelContract):
    """The real server keeps the contract: counts, schema, log-probabilities, cancellation, a prompt too long."""


async def test_a_shared_prefix_is_computed_once(client: ModelClient) -> None:
    """The second request with the same beginning tells how much of it came from the cache."""
    prefix = Message(role="system", content="The note speaks of queues, leases and signatures. " * 60)

    async def ask(text: str) -> int:
        request = ChatRequest(
            messages=(prefix, Message(role="user", content=text)), sampling=Sampling(max_tokens=2)
        )
        return (await client.chat(request, deadline_s=DEADLINE_S)).usage.cached_tokens

    await ask("What is first?")
    assert await ask("What is second?") >= 500


async def test_both_labels_have_a_probability(client: ModelClient) -> None:
    """A reviewer's question is answered by one token whose alternatives hold both labels."""
    request = ChatRequest(
        messages=(
            Message(role="user", content="Answer with A or B only. Which is a colour? A: red B: seven"),
        ),
        sampling=Sampling(max_tokens=1),
        top_logprobs=20,
    )
    reply = await client.chat(request, deadline_s=DEADLINE_S)
    assert {"A", "B"} <= {token.strip() for token, _ in reply.tokens[0].top}


def _say(http: httpx.Client, **fields: Any) -> dict[str, Any]:
    body = {
        "model": NAME,
        "messages": [{"role": "user", "content": "What is the weather in Rome?"}],
        "temperature": 0,
        "max_tokens": 40,
    }
    answer = http.post("/v1/chat/completions", json=body | fields)
    assert answer.status_code == httpx.codes.OK, answer.text
    found: dict[str, Any] = answer.json()["choices"][0]["message"]
    return found


def test_a_native_tool_call_comes_back_as_a_call(vllm: Vllm) -> None:
    """A tool that is demanded by name comes back as a call of it, with arguments that are JSON.

    Not that they fulfil the tool's schema: this server does not hold the model to it, and that is why agents' calls
    are answers under a JSON Schema instead.
    """
    named = {"type": "function", "function": {"name": "weather"}}
    with vllm.http() as http:
        [call] = _say(http, tools=[TOOL], tool_choice=named, max_tokens=200)["tool_calls"]
    assert call["function"]["name"] == "weather"
    json.loads(call["function"]["arguments"])


def test_an_adapter_is_loaded_answers_and_goes(vllm: Vllm) -> None:
    """A LoRA adapter comes and goes at run time, is a model of its own in the listing, and answers differently."""
    with vllm.http() as http:
        loaded = http.post(
            "/v1/load_lora_adapter", json={"lora_name": "tiny", "lora_path": str(Prepared().adapter)}
        )
        assert loaded.status_code == httpx.codes.OK, loaded.text
        assert {one["id"] for one in http.get("/v1/models").json()["data"]} == {NAME, "tiny"}
        assert _say(http)["content"] != _say(http, model="tiny")["content"]
        assert http.post("/v1/unload_lora_adapter", json={"lora_name": "tiny"}).status_code == httpx.codes.OK
        assert {one["id"] for one in http.get("/v1/models").json()["data"]} == {NAME}


def test_it_says_how_full_it_is(vllm: Vllm) -> None:
    """The gauges that concurrency adapts to are there under the names that are read."""
    with vllm.http() as http:
        text = http.get("/metrics").text
    for gauge in ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"):
        assert f"\n{gauge}{{" in text
