"""The model client against a server that answers, breaks, lies and hangs."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.bounded_reply import MAX_REPLY_BYTES
from pantheon.adapters.http_model import HttpModelClient
from pantheon.core.chat import ChatRequest, Message, Sampling
from pantheon.core.errors import (
    ModelChangedError,
    ModelLostError,
    ModelOutputError,
    ModelOverloadedError,
    ModelRefusedError,
    ModelTimeoutError,
)
from pantheon.testing.scripted_model import Answer, Raw, Reply, Say, ScriptedServer, serve_script

REQUEST = ChatRequest(messages=(Message(role="user", content="hello"),), sampling=Sampling(max_tokens=20))


@asynccontextmanager
async def connected(
    script: Callable[[Mapping[str, Any]], Reply], tmp_path: Path
) -> AsyncIterator[tuple[HttpModelClient, ScriptedServer]]:
    """A client on a scripted server."""
    socket = tmp_path / "s.sock"
    async with serve_script(script, socket) as server:
        client = HttpModelClient("test", base_url="http://localhost", uds=str(socket))
        try:
            yield client, server
        finally:
            await client.aclose()


async def test_answer_usage_and_timings(tmp_path: Path) -> None:
    """Text, finish reason, token counts and the time to the first token come back."""
    say = Say("hello world", cached_tokens=60, delay_s=0.01)
    async with connected(lambda _: say, tmp_path) as (client, server):
        reply = await client.chat(REQUEST, deadline_s=5)
        assert await client.model_name(deadline_s=5) == "scripted"
    assert (reply.text, reply.finish_reason, reply.tries) == ("hello world", "stop", 1)
    assert (reply.usage.prompt_tokens, reply.usage.cached_tokens, reply.usage.computed_tokens) == (
        100,
        60,
        40,
    )
    assert reply.timings.first_token_s is not None
    assert 0 < reply.timings.first_token_s <= reply.timings.total_s
    body = server.requests[0]
    assert body["stream"] is True
    assert body["seed"] == 1
    assert "model" not in body


async def test_schema_and_logprobs_are_asked_for_and_read(tmp_path: Path) -> None:
    """A schema becomes a json_schema response format; alternatives come back likeliest first."""
    schema = {"type": "object", "properties": {}}
    request = REQUEST.model_copy(update={"response_schema": schema, "top_logprobs": 3})
    say = Say("A", logprobs={"B": -2.0, "A": -0.1, " A": -3.0})
    async with connected(lambda _: say, tmp_path) as (client, server):
        reply = await client.chat(request, deadline_s=5)
    assert server.requests[0]["response_format"]["json_schema"]["schema"] == schema
    assert server.requests[0]["top_logprobs"] == 3
    assert reply.tokens[0].top == (("A", -0.1), ("B", -2.0), (" A", -3.0))


@pytest.mark.parametrize("status", [429, 503, 500])
async def test_transient_faults_are_tried_again(status: int, tmp_path: Path) -> None:
    """Overload and failures of the server are retried inside the deadline, and the tries are counted."""
    answers: list[Reply] = [Answer(status), Answer(status), Say("ok")]
    async with connected(lambda _: answers.pop(0), tmp_path) as (client, _):
        reply = await client.chat(REQUEST, deadline_s=20)
    assert (reply.text, reply.tries) == ("ok", 3)


async def test_overload_to_the_end_is_named(tmp_path: Path) -> None:
    """A server that stays overloaded is an overload or a timeout, never an answer."""
    async with connected(lambda _: Answer(429, b"busy"), tmp_path) as (client, server):
        with pytest.raises((ModelOverloadedError, ModelTimeoutError)):
            await client.chat(REQUEST, deadline_s=1.5)
    assert len(server.requests) >= 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_errors(status: int, tmp_path: Path) -> None:
    """A redirect is never followed, and not tried again."""
    away = Answer(status, headers={"Location": "http://127.0.0.9:1/v1/chat/completions"})
    async with connected(lambda _: away, tmp_path) as (client, server):
        with pytest.raises(ModelOutputError, match="redirect"):
            await client.chat(REQUEST, deadline_s=5)
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"])
async def test_proxy_variables_are_ignored(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment receives nothing; the server receives the request."""
    received: list[bytes] = []

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(100))
        writer.close()

    proxy = await asyncio.start_server(record, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
    scripted = ScriptedServer(lambda _: Say("ok"))
    server = await asyncio.start_server(scripted.handle, "127.0.0.1", 0)
    client = HttpModelClient("tcp", base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        assert (await client.chat(REQUEST, deadline_s=5)).text == "ok"
    finally:
        await client.aclose()
        server.close()
        proxy.close()
    assert received == []
    assert not any(line.lower().startswith(("authorization", "cookie")) for line in scripted.head_lines)


@pytest.mark.parametrize(
    "data",
    [
        b"data: not json\n\n",
        b'data: {"choices": [5]}\n\n',
        b'data: {"choices": [{"delta": [1]}]}\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b'data: {"usage": {"prompt_tokens": "many"}}\n\n',
    ],
)
async def test_garbage_is_named_as_such(data: bytes, tmp_path: Path) -> None:
    """What is not the protocol is an error, and is not tried again."""
    async with connected(lambda _: Raw(data), tmp_path) as (client, server):
        with pytest.raises(ModelOutputError):
            await client.chat(REQUEST, deadline_s=5)
    assert len(server.requests) == 1


async def test_break_in_mid_answer_is_a_lost_server(tmp_path: Path) -> None:
    """A stream that ends before its end is tried again, then reported as lost; half an answer is never one."""
    half = json.dumps({"choices": [{"delta": {"content": "ha"}}]}).encode()
    async with connected(lambda _: Raw(b"data: " + half + b"\n\n"), tmp_path) as (client, server):
        with pytest.raises((ModelLostError, ModelTimeoutError)):
            await client.chat(REQUEST, deadline_s=2)
    assert len(server.requests) >= 2


async def test_a_broken_call_is_not_made_again_to_another_model(tmp_path: Path) -> None:
    """Who answers after a break is asked who it is first: one that has another model now is shown nothing."""

    def script(_: Mapping[str, Any]) -> Reply:
        server.model = "another"
        return Raw(b'data: {"choices": [{"delta": {"content": "ha"}}]}\n\n')

    async with connected(script, tmp_path) as (client, server):
        await client.model_name(deadline_s=5)
        with pytest.raises(ModelOutputError, match="'another'"):
            await client.chat(REQUEST, deadline_s=5)
    assert len(server.requests) == 1


async def test_hanging_server_meets_the_deadline(tmp_path: Path) -> None:
    """A server that says nothing ends with the deadline."""
    async with connected(lambda _: Raw(b": ping\n\n", hang=True), tmp_path) as (client, _):
        with pytest.raises(ModelTimeoutError):
            await client.chat(REQUEST, deadline_s=0.3)


async def test_endless_answers_are_bounded(tmp_path: Path) -> None:
    """More bytes than any answer can have, with or without line ends, end the call."""
    for data in (b"x" * 2_000_000, b": ping\n" * (MAX_REPLY_BYTES // 7 + 10_000)):
        async with connected(lambda _, data=data: Raw(data), tmp_path) as (client, _):
            with pytest.raises(ModelOutputError, match="more than"):
                await client.chat(REQUEST, deadline_s=20)


async def test_nobody_listens(tmp_path: Path) -> None:
    """A socket that is not there is a lost server."""
    client = HttpModelClient("none", base_url="http://localhost", uds=str(tmp_path / "none.sock"))
    with pytest.raises((ModelLostError, ModelTimeoutError)):
        await client.chat(REQUEST, deadline_s=1)
    with pytest.raises(ModelLostError):
        await client.model_name(deadline_s=1)
    await client.aclose()


async def test_refused_request_is_not_repeated(tmp_path: Path) -> None:
    """A request the server refuses (too long a prompt, say) is an error at once, with the server's words."""
    refused = Answer(400, b'{"error": {"message": "exceeds the context"}}')
    async with connected(lambda _: refused, tmp_path) as (client, server):
        with pytest.raises(ModelOutputError, match="exceeds the context"):
            await client.chat(REQUEST, deadline_s=5)
    assert len(server.requests) == 1


async def test_cancelled_call_closes_its_connection(tmp_path: Path) -> None:
    """Cancelling leaves the client usable."""
    answers: list[Reply] = [Say("x" * 400, delay_s=0.1), Say("ok")]
    async with connected(lambda _: answers.pop(0), tmp_path) as (client, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.chat(REQUEST, deadline_s=60)
        assert (await client.chat(REQUEST, deadline_s=5)).text == "ok"


async def test_a_wait_that_the_server_asks_for_is_handed_on(tmp_path: Path) -> None:
    """A 429 with Retry-After is not tried again by the same call; the wait comes with the error."""
    busy = Answer(429, b"busy", headers={"Retry-After": "30"})
    async with connected(lambda _: busy, tmp_path) as (client, server):
        with pytest.raises(ModelOverloadedError) as caught:
            await client.chat(REQUEST, deadline_s=5)
    assert caught.value.details == {"retry_after_s": 30.0}
    assert len(server.requests) == 1


@pytest.mark.parametrize("said", ["-1", "soon", "1e9", "99999999", "", "\xb2"])
async def test_a_strange_wait_is_none(said: str, tmp_path: Path) -> None:
    """What is no number of seconds within reason is not believed: the call is tried again as without it."""
    answers: list[Reply] = [Answer(503, headers={"Retry-After": said}), Say("ok")]
    async with connected(lambda _: answers.pop(0), tmp_path) as (client, _):
        assert (await client.chat(REQUEST, deadline_s=5)).text == "ok"


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_server_that_does_not_know_us_is_another_server(status: int, tmp_path: Path) -> None:
    """Such an answer is about the server, not about the request."""
    async with connected(lambda _: Answer(status, b"no such model"), tmp_path) as (client, _):
        with pytest.raises(ModelChangedError, match="no such model"):
            await client.chat(REQUEST, deadline_s=5)


async def test_more_than_was_asked_for_is_cut_early(tmp_path: Path) -> None:
    """A stream without an end is given up by what was asked for, long before the ceiling of all answers."""
    piece = b"data: " + json.dumps({"choices": [{"delta": {"content": "x" * 500}}]}).encode() + b"\n\n"
    async with connected(lambda _: Raw(piece * 400, hang=True), tmp_path) as (client, _):
        with pytest.raises(ModelOutputError, match="more than"):
            await client.chat(REQUEST, deadline_s=5)


@pytest.mark.parametrize(("status", "kind"), [(503, ModelOverloadedError), (500, ModelLostError)])
async def test_a_server_that_loads_is_not_one_without_models(
    status: int, kind: type[Exception], tmp_path: Path
) -> None:
    """A list that cannot be given now is no wrong list."""
    async with connected(lambda _: Say("ok"), tmp_path) as (client, server):
        server.pages["/v1/models"] = Answer(status)
        with pytest.raises(kind, match=str(status)):
            await client.model_name(deadline_s=5)


async def test_no_other_model_answers_than_is_asked_for(tmp_path: Path) -> None:
    """A request that names a model is answered by it, or refused before anything is sent."""
    async with connected(lambda _: Say("hello"), tmp_path) as (client, server):
        await client.model_name(deadline_s=5)
        named = REQUEST.model_copy(update={"model": "scripted"})
        assert (await client.chat(named, deadline_s=5)).text == "hello"
        with pytest.raises(ModelRefusedError, match="asked for 'other'"):
            await client.chat(REQUEST.model_copy(update={"model": "other"}), deadline_s=5)
    assert len(server.requests) == 1
