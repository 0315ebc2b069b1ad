"""Asks a model server what it can do, with three short questions of which only the form of the answer matters.

Invariants:
- an answer is read up to a ceiling and a deadline;
- a refusal of one question means that this is missing; a server that breaks or is busy means that nothing is known.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from pantheon.adapters.server_identity import read_bounded
from pantheon.core.errors import ModelLostError, ModelOutputError
from pantheon.core.server_capabilities import Capability

PROBE_TEXT = "This is a probe of the server."
"""How every question begins."""
MAX_ANSWER_BYTES = 400_000
BUSY = frozenset({429, 502, 503, 504})
WORD = "yes"
SCHEMA = {
    "type": "object",
    "properties": {"probe": {"type": "string", "enum": [WORD]}},
    "required": ["probe"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "probe",
        "description": "Answer the probe.",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    },
}


async def ask_capabilities(http: httpx.AsyncClient, endpoint: str, model: str) -> tuple[Capability, ...]:
    """Return what a server can do.

    Args:
        http: a client of the server.
        endpoint: its name, for messages.
        model: name to ask for; empty lets the server's only model answer.

    Raises:
        ModelLostError: the server is busy or broke off, so that nothing can be told.
        ModelOutputError: it refused even the plainest question.
        httpx.HTTPError: it cannot be reached.
    """
    base = {"stream": True, "stream_options": {"include_usage": True}, "temperature": 0.0}
    if model:
        base["model"] = model

    async def ask(text: str, **more: Any) -> list[Mapping[str, Any]] | None:
        turn = {"role": "user", "content": f"{PROBE_TEXT} {text}"}
        return await _ask(http, endpoint, {**base, "messages": [turn], **more})

    response_format = {
        "type": "json_schema",
        "json_schema": {"name": "probe", "strict": True, "schema": SCHEMA},
    }
    # The word that the schema wants is not asked for: only a server that constrains the answer gives it.
    schema = await ask("Count to nine.", max_tokens=24, response_format=response_format)
    plain = await ask("Answer A or B.", max_tokens=1, logprobs=True, top_logprobs=5)
    tools = await ask("Call the tool.", max_tokens=48, tools=[TOOL], tool_choice="required")
    if plain is None and schema is None and await ask("Say a word.", max_tokens=1) is None:
        raise ModelOutputError(f"endpoint {endpoint} refuses even a plain question")
    usages = [one["usage"] for one in (*(schema or ()), *(plain or ())) if isinstance(one.get("usage"), dict)]
    cached = [
        details["cached_tokens"]
        for usage in usages
        if isinstance(details := usage.get("prompt_tokens_details"), dict) and "cached_tokens" in details
    ]
    shown = {
        Capability.JSON_SCHEMA: _fits(_text(schema or ())),
        Capability.LOGPROBS: any(_alternatives(plain or ())),
        Capability.TOOLS: any(choice.get("tool_calls") for choice in _deltas(tools or ())),
        Capability.STREAM_USAGE: any(_is_count(usage.get("completion_tokens")) for usage in usages),
        Capability.CACHED_TOKENS: any(map(_is_count, cached)),
    }
    return tuple(one for one, here in shown.items() if here)


async def _ask(
    http: httpx.AsyncClient, endpoint: str, body: Mapping[str, Any]
) -> list[Mapping[str, Any]] | None:
    """Return the pieces of an answer; None where the server refuses the question."""
    # llama.cpp ends the connection after a stream without having said so: each question has one of its own.
    own = {"Connection": "close"}
    async with http.stream("POST", "/v1/chat/completions", json=body, headers=own) as response:
        data = await read_bounded(response, MAX_ANSWER_BYTES)
    if response.status_code in BUSY:
        raise ModelLostError(
            f"endpoint {endpoint} is too busy to say what it can do ({response.status_code})"
        )
    if response.status_code != 200 or data is None:
        return None
    return list(_pieces(data))


def _pieces(data: bytes) -> Iterator[Mapping[str, Any]]:
    for line in data.splitlines():
        if not line.startswith(b"data:") or line[5:].strip() == b"[DONE]":
            continue
        try:
            piece = json.loads(line[5:])
        except (ValueError, RecursionError):
            continue
        if isinstance(piece, dict):
            yield piece


def _choices(pieces: list[Mapping[str, Any]] | tuple[()]) -> Iterator[Mapping[str, Any]]:
    for piece in pieces:
        choices = piece.get("choices")
        yield from (one for one in (choices if isinstance(choices, list) else ()) if isinstance(one, dict))


def _deltas(pieces: list[Mapping[str, Any]] | tuple[()]) -> Iterator[Mapping[str, Any]]:
    for choice in _choices(pieces):
        if isinstance(delta := choice.get("delta"), dict):
            yield delta


def _text(pieces: list[Mapping[str, Any]] | tuple[()]) -> str:
    return "".join(content for delta in _deltas(pieces) if isinstance(content := delta.get("content"), str))


def _alternatives(pieces: list[Mapping[str, Any]] | tuple[()]) -> Iterator[bool]:
    for choice in _choices(pieces):
        logprobs = choice.get("logprobs")
        content = logprobs.get("content") if isinstance(logprobs, dict) else None
        for token in content if isinstance(content, list) else ():
            yield isinstance(token, dict) and bool(token.get("top_logprobs"))


def _fits(text: str) -> bool:
    try:
        return bool(json.loads(text) == {"probe": WORD})
    except (ValueError, RecursionError):
        return False


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
