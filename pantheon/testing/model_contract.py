"""What every model client promises, whatever answers behind it."""

import asyncio
import json
import math

import jsonschema
import pytest

from pantheon.core.chat import ChatReply, ChatRequest, Message, Sampling
from pantheon.core.errors import ModelOutputError
from pantheon.ports.model import ModelClient

SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}, "count": {"type": "integer"}},
    "required": ["colour", "count"],
    "additionalProperties": False,
}
DEADLINE_S = 120.0


def ask(text: str, **fields: object) -> ChatRequest:
    """A request with one user turn."""
    sampling = Sampling(max_tokens=int(str(fields.pop("max_tokens", 16))))
    return ChatRequest.model_validate(
        {"messages": (Message(role="user", content=text),), "sampling": sampling, **fields}
    )


class ModelContract:
    """Subclass it with a fixture ``client``."""

    async def test_an_answer_is_counted_and_timed(self, client: ModelClient) -> None:
        """Text, counts and times come back, and the ceiling on tokens holds."""
        reply = await client.chat(ask("Say hello.", max_tokens=8), deadline_s=DEADLINE_S)
        assert reply.text
        assert 1 <= reply.usage.completion_tokens <= 8
        assert reply.usage.prompt_tokens >= reply.usage.cached_tokens >= 0
        assert reply.timings.first_token_s is not None
        assert 0 < reply.timings.first_token_s <= reply.timings.total_s

    async def test_the_same_request_gives_the_same_answer(self, client: ModelClient) -> None:
        """Temperature 0 and a seed make a call reproducible."""
        request = ask("Name one colour of the sky.", max_tokens=8)
        first: ChatReply = await client.chat(request, deadline_s=DEADLINE_S)
        again = await client.chat(request, deadline_s=DEADLINE_S)
        assert first.text == again.text

    async def test_a_schema_constrains_the_answer(self, client: ModelClient) -> None:
        """What is asked for with a schema is JSON that fulfils it."""
        request = ask("Give a colour and a count as JSON.", max_tokens=60, response_schema=SCHEMA)
        reply = await client.chat(request, deadline_s=DEADLINE_S)
        assert reply.finish_reason == "stop"
        jsonschema.validate(json.loads(reply.text), SCHEMA)

    async def test_alternatives_are_probabilities(self, client: ModelClient) -> None:
        """Log-probabilities of the first token come likeliest first and sum to at most one."""
        request = ask(
            "Which is hot, A: fire or B: ice? Answer with the letter.", max_tokens=1, top_logprobs=20
        )
        reply = await client.chat(request, deadline_s=DEADLINE_S)
        values = [logprob for _, logprob in reply.tokens[0].top]
        assert len(values) >= 2
        assert values == sorted(values, reverse=True)
        assert sum(math.exp(value) for value in values) <= 1.001

    async def test_too_long_a_prompt_is_refused(self, client: ModelClient) -> None:
        """A prompt beyond the context is an error at once, never an answer to half of it."""
        with pytest.raises(ModelOutputError):
            await client.chat(ask("word " * 40_000), deadline_s=DEADLINE_S)

    async def test_a_cancelled_call_leaves_the_client_usable(self, client: ModelClient) -> None:
        """The connection of a cancelled call is closed; the next call is answered."""
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.chat(ask("Tell a very long story.", max_tokens=2_000), deadline_s=DEADLINE_S)
        assert (await client.chat(ask("Say hello.", max_tokens=4), deadline_s=DEADLINE_S)).text

    async def test_the_model_has_a_name(self, client: ModelClient) -> None:
        """The server says what it serves."""
        assert await client.model_name(deadline_s=DEADLINE_S)
