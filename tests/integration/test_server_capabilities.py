"""What a server can do is found out, not assumed; and what it cannot do has its sentence."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pantheon.adapters.http_model import HttpModelClient
from pantheon.core.chat import ChatRequest, Message, Sampling
from pantheon.core.errors import ModelLostError, ModelOutputError
from pantheon.core.server_capabilities import Capability, ServerCapabilities, refuse_without
from pantheon.testing.scripted_model import Answer, Raw, Say, serve_script

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def asked(tmp_path: Path, *lacks: str) -> ServerCapabilities:
    async with serve_script(lambda _: Say("hello"), tmp_path / "s.sock") as server:
        server.lacks = set(lacks)
        async with HttpModelClient("e", base_url="http://localhost", uds=str(tmp_path / "s.sock")) as client:
            return await client.capabilities(deadline_s=5, asked_at=NOW)


async def test_a_server_that_can_do_everything(tmp_path: Path) -> None:
    """All is found, with who the server is; nothing needs a word."""
    found = await asked(tmp_path)
    assert set(found.found) == set(Capability)
    assert (found.endpoint, found.model, len(found.identity)) == ("e", "scripted", 64)
    assert found.describe() == ()
    assert refuse_without(found, ["peer"]) == ""


@pytest.mark.parametrize("lacking", list(Capability))
async def test_each_missing_capability_is_seen_and_said(lacking: Capability, tmp_path: Path) -> None:
    """Exactly the lacking one is missing, and a sentence says what a night does without it."""
    also = [Capability.CACHED_TOKENS] if lacking is Capability.STREAM_USAGE else []
    found = await asked(tmp_path, lacking.value)
    assert list(found.missing) == [lacking, *also]
    assert len(found.describe()) == 1 + len(also)
    assert bool(refuse_without(found, ["peer"])) == (lacking is Capability.LOGPROBS)
    assert refuse_without(found, []) == ""


async def test_counts_of_a_server_that_counts_nothing(tmp_path: Path) -> None:
    """Without a usage the pieces of the stream are counted, so that budgets still hold."""
    pieces = b"".join(b'data: {"choices": [{"delta": {"content": "x "}}]}\n\n' for _ in range(7))
    end = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    request = ChatRequest(messages=(Message(role="user", content="go"),), sampling=Sampling(max_tokens=20))
    async with (
        serve_script(lambda _: Raw(pieces + end), tmp_path / "s.sock"),
        HttpModelClient("e", base_url="http://localhost", uds=str(tmp_path / "s.sock")) as client,
    ):
        assert (await client.chat(request, deadline_s=5)).usage.completion_tokens == 7


async def test_a_schema_goes_into_the_prompt_where_it_cannot_be_given(tmp_path: Path) -> None:
    """The same schema, in words at the end of the last turn; nothing is asked that the server does not know."""
    request = ChatRequest(messages=(Message(role="user", content="go"),), response_schema={"type": "object"})
    async with serve_script(lambda _: Say("{}"), tmp_path / "s.sock") as server:
        client = HttpModelClient(
            "e", base_url="http://localhost", uds=str(tmp_path / "s.sock"), constrained=False
        )
        async with client:
            await client.chat(request, deadline_s=5)
    (body,) = server.requests
    assert "response_format" not in body
    assert body["messages"][-1]["content"].startswith("go\n\nAnswer with one JSON object")
    assert '{"type":"object"}' in body["messages"][-1]["content"]
    assert request.messages[0].content == "go"


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_says_nothing_about_what_it_can_do(status: int, tmp_path: Path) -> None:
    """Too busy to answer is not unable to."""
    async with serve_script(lambda _: Say(""), tmp_path / "s.sock") as server:
        server.pages["/v1/chat/completions"] = Answer(status)
        async with HttpModelClient("e", base_url="http://localhost", uds=str(tmp_path / "s.sock")) as client:
            with pytest.raises(ModelLostError, match="busy"):
                await client.capabilities(deadline_s=5, asked_at=NOW)


async def test_a_server_that_refuses_everything_is_named(tmp_path: Path) -> None:
    """It is not taken for one that merely lacks all."""
    async with serve_script(lambda _: Say(""), tmp_path / "s.sock") as server:
        server.pages["/v1/chat/completions"] = Answer(400)
        async with HttpModelClient("e", base_url="http://localhost", uds=str(tmp_path / "s.sock")) as client:
            with pytest.raises(ModelOutputError, match="plain question"):
                await client.capabilities(deadline_s=5, asked_at=NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"data: \xff\n\n",
        b"data: " + b"[" * 100_000,
        b'data: {"choices": 5}\n\n',
        b'data: {"choices": [5, {"delta": 5, "logprobs": 5}], "usage": 5}\n\n',
        b'data: {"choices": [{"delta": {"content": 5}, "logprobs": {"content": [5]}}]}\n\n',
        b'data: {"usage": {"completion_tokens": true, "prompt_tokens_details": {"cached_tokens": -1}}}\n\n',
        b"x" * 1_000_000,
    ],
)
async def test_hostile_answers_show_nothing(body: bytes, tmp_path: Path) -> None:
    """Whatever a server says to a probe, it can do only what it has shown."""
    async with serve_script(lambda _: Say(""), tmp_path / "s.sock") as server:
        server.pages["/v1/chat/completions"] = Answer(200, body)
        async with HttpModelClient("e", base_url="http://localhost", uds=str(tmp_path / "s.sock")) as client:
            if len(body) > 500_000:
                with pytest.raises(ModelOutputError):
                    await client.capabilities(deadline_s=5, asked_at=NOW)
            else:
                assert (await client.capabilities(deadline_s=5, asked_at=NOW)).found == ()
