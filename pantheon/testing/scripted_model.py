"""A chat server for tests: speaks the OpenAI protocol over a Unix socket and says what a script tells it to.

It exists so that tests can make a server answer anything at all, or break in any way, at any byte. Every path
that is tested against it is tested against a real server too.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pantheon.adapters.capability_probe import PROBE_TEXT

MAX_BODY_BYTES = 10_000_000


@dataclass(frozen=True)
class Say:
    """Answer with a text, token by token."""

    text: str
    finish_reason: str = "stop"
    logprobs: Mapping[str, float] = field(default_factory=dict)
    """Token -> log-probability of the alternatives at the first token."""
    cached_tokens: int = 0
    delay_s: float = 0.0
    """Before each token."""


@dataclass(frozen=True)
class Answer:
    """Answer with a status and a body instead of a stream."""

    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Begin a stream, send these bytes, and then close or hang."""

    data: bytes
    hang: bool = False


Reply = Say | Answer | Raw
Script = Callable[[Mapping[str, Any]], Reply]
"""Request body -> what to answer."""


@dataclass
class ScriptedServer:
    """The server; made by ``serve_script``."""

    script: Script
    model: str = "scripted"
    pages: dict[str, Answer] = field(default_factory=dict)
    """Path -> what to answer there, whatever the script says."""
    requests: list[Mapping[str, Any]] = field(default_factory=list)
    """Bodies of the chat requests so far."""
    head_lines: list[str] = field(default_factory=list)
    """Request lines and headers of everything that was received."""
    lacks: set[str] = field(default_factory=set)
    """Capabilities that it has not when it is probed, by their names."""
    further: list[str] = field(default_factory=list)
    """Names of further models and adapters that it serves."""
    loads_adapters: bool = False
    """Whether adapters can be loaded and unloaded while it runs."""
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)
    """Those that are open, by the task that serves them."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self.connections[task] = writer
        try:
            while (request := await _read_request(reader, self.head_lines)) is not None:
                path, body = request
                if path in self.pages:
                    page = self.pages[path]
                    _send(writer, page.status, page.body, page.headers)
                elif path == "/v1/models":
                    listed = [{"id": name} for name in (self.model, *self.further)]
                    _send(writer, 200, json.dumps({"data": listed}).encode())
                elif path.endswith("load_lora_adapter"):
                    _send(writer, self._change_adapters(path, json.loads(body)), b"{}")
                elif path.startswith(("/api/", "/metrics")):
                    _send(writer, 404, b"{}")
                elif path.startswith("/health"):
                    _send(writer, 200, b"{}")
                else:
                    value = json.loads(body)
                    if _is_probe(value):
                        _answer_probe(writer, value, self._named(value), self.lacks)
                        await writer.drain()
                        continue
                    self.requests.append(value)
                    if not await self._answer(writer, self.script(value), self._named(value)):
                        return
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            del self.connections[task]
            writer.close()

    async def aclose(self) -> None:
        """Break off the connections that are kept open, so that nobody is left waiting for a request."""
        for writer in self.connections.values():
            writer.transport.abort()
        if self.connections:
            await asyncio.wait(self.connections, timeout=0.1)

    def _named(self, body: Mapping[str, Any]) -> str:
        return str(body["model"]) if body.get("model") in self.further else self.model

    def _change_adapters(self, path: str, body: Mapping[str, Any]) -> int:
        """Load or unload an adapter as vLLM does; returns the status."""
        if not self.loads_adapters:
            return 404
        name, unload = str(body["lora_name"]), path.endswith("/unload_lora_adapter")
        if unload != (name in self.further):
            return 400
        if unload:
            self.further.remove(name)
        else:
            self.further.append(name)
        return 200

    async def _answer(self, writer: asyncio.StreamWriter, reply: Reply, model: str) -> bool:
        """Send a reply; False when the connection must end."""
        if isinstance(reply, Answer):
            _send(writer, reply.status, reply.body, reply.headers)
            return True
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        if isinstance(reply, Raw):
            _chunk(writer, reply.data)
            await writer.drain()
            if reply.hang:
                await asyncio.sleep(3600)
            return False
        for event in _events(reply, model):
            if reply.delay_s:
                await asyncio.sleep(reply.delay_s)
            _chunk(writer, b"data: " + event + b"\n\n")
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        return True


def behave_well(body: Mapping[str, Any]) -> Reply:
    """Answer as a server does that keeps the model client's contract."""
    text = body["messages"][-1]["content"]
    if len(text) > 100_000:
        return Answer(400, b'{"error": {"message": "the prompt exceeds the context"}}')
    if "response_format" in body:
        return Say('{"colour": "red", "count": 3}')
    if body.get("top_logprobs"):
        return Say("A", finish_reason="length", logprobs={"A": -0.1, "B": -2.5})
    return Say("once upon a time " * 50, delay_s=0.05) if "story" in text else Say("hello")


@asynccontextmanager
async def serve_script(
    script: Script, socket: Path, *, model: str = "scripted"
) -> AsyncIterator[ScriptedServer]:
    """Serve a script on a Unix socket for the length of a ``with``."""
    scripted = ScriptedServer(script, model)
    server = await asyncio.start_unix_server(scripted.handle, path=str(socket))
    try:
        yield scripted
    finally:
        server.close()
        await scripted.aclose()


def _events(reply: Say, model: str) -> list[bytes]:
    pieces = [reply.text[i : i + 4] for i in range(0, len(reply.text), 4)] or [""]
    events: list[dict[str, Any]] = []
    for place, piece in enumerate(pieces):
        choice: dict[str, Any] = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
        if reply.logprobs and place == 0:
            top = [{"token": token, "logprob": value} for token, value in reply.logprobs.items()]
            choice["logprobs"] = {
                "content": [{"token": piece, "logprob": top[0]["logprob"], "top_logprobs": top}]
            }
        events.append({"model": model, "choices": [choice]})
    events.append(
        {"model": model, "choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish_reason}]}
    )
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": len(pieces),
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens},
    }
    events.append({"model": model, "choices": [], "usage": usage})
    return [json.dumps(event).encode() for event in events] + [b"[DONE]"]


def _is_probe(body: Mapping[str, Any]) -> bool:
    return str(body["messages"][0]["content"]).startswith(PROBE_TEXT)


def _answer_probe(
    writer: asyncio.StreamWriter, body: Mapping[str, Any], model: str, lacks: Collection[str]
) -> None:
    """Answer a probe of capabilities like a server that has all but the lacking ones."""
    delta: dict[str, Any] = {"content": "one two"}
    choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": "stop"}
    if "response_format" in body and "json_schema" not in lacks:
        delta["content"] = json.dumps({"probe": "yes"})
    if "logprobs" in body and "logprobs" not in lacks:
        top = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.4}]
        choice["logprobs"] = {"content": [{"token": "A", "logprob": -0.1, "top_logprobs": top}]}
    if "tools" in body:
        if "tools" in lacks:
            _send(writer, 400, b'{"error": {"message": "tools are not supported"}}')
            return
        delta["tool_calls"] = [{"index": 0, "function": {"name": "probe", "arguments": "{}"}}]
    usage: dict[str, Any] = {"prompt_tokens": 9, "completion_tokens": 2}
    if "cached_tokens" not in lacks:
        usage["prompt_tokens_details"] = {"cached_tokens": 0}
    events: list[dict[str, Any]] = [{"model": model, "choices": [choice]}]
    if "stream_usage" not in lacks:
        events.append({"model": model, "choices": [], "usage": usage})
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    _send(writer, 200, data + b"data: [DONE]\n\n")


async def _read_request(reader: asyncio.StreamReader, heads: list[str]) -> tuple[str, bytes] | None:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    heads.extend(line for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    length = min(int(headers.get("content-length", "0")), MAX_BODY_BYTES)
    return lines[0].split(" ")[1], await reader.readexactly(length)


def _send(
    writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> None:
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    writer.write(
        f"HTTP/1.1 {status} Scripted\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode("latin-1") + body
    )


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
