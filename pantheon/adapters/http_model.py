"""An OpenAI-compatible chat endpoint over httpx: llama.cpp, vLLM, LM Studio, by URL or Unix socket.

Invariants:
- only the address that was checked (loopback literal, Unix socket, or one that policy names) is connected to;
- every call has a deadline; transient faults (no connection, a broken one, 429, 5xx) are tried again inside
  it, everything else is an error at once;
- answers are streamed, so that the time to the first token is measured and a cancelled call stops the server;
- a server that says when to come back is not asked again by the same call: to wait is the night's decision;
- what the server may send is bounded in bytes, by how much was asked for;
- once the served model is known, every answer must name it, and the server is asked again from time to time.
"""

import asyncio
import json
import math
import time
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from pantheon.adapters.bounded_reply import feed, read_some, reply_ceiling
from pantheon.adapters.capability_probe import ask_capabilities
from pantheon.adapters.chat_stream import StreamedReply
from pantheon.adapters.local_http import local_client
from pantheon.adapters.server_identity import ServedModel, ask_identity
from pantheon.adapters.server_load import ask_load
from pantheon.core.chat import ChatReply, ChatRequest
from pantheon.core.concurrency import Load
from pantheon.core.errors import (
    ModelChangedError,
    ModelError,
    ModelLostError,
    ModelOutputError,
    ModelOverloadedError,
    ModelRefusedError,
    ModelTimeoutError,
)
from pantheon.core.server_capabilities import ServerCapabilities
from pantheon.ports.crash_points import CrashPoint, reach

MAX_TRIES = 4
FIRST_WAIT_S = 0.1
"""Before the second try; later ones wait longer, and at random."""
NOT_OURS = frozenset({401, 403, 404, 405, 501})
"""What a server answers that does not know the path, the model, or us."""
ASK_AGAIN_S = 60.0
"""Seconds after which the server is asked again what it serves, before the next call."""


class HttpModelClient:
    """``ports.model.ModelClient`` over one endpoint.

    Args:
        name: name of the endpoint, for records.
        base_url: ``http://host:port`` as ``core.locality`` approved it.
        uds: path of a Unix socket to connect to instead of the URL's host.
        model: name to ask for; empty lets the server's only model answer.
        max_connections: calls at once; more wait for a connection.
        constrained: whether the server constrains answers to a schema; without, the schema goes into the prompt.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        uds: str | None = None,
        model: str = "",
        max_connections: int = 16,
        constrained: bool = True,
    ) -> None:
        self.constrained = constrained
        self._name = name
        self._model = model
        self._served: ServedModel | None = None
        self._asked_at = 0.0
        self._http = local_client(base_url, uds=uds, max_connections=max_connections)
        # Made once, not at each call: both are parsed anew whenever they are not given whole.
        self._chat_url = self._http.base_url.join("/v1/chat/completions")
        self._headers = self._http.build_request(
            "POST", self._chat_url, headers={"content-type": "application/json"}
        ).headers
        del self._headers["content-length"]

    @property
    def endpoint(self) -> str:
        return self._name

    async def chat(self, request: ChatRequest, *, deadline_s: float) -> ChatReply:
        try:
            async with asyncio.timeout(deadline_s):
                try:
                    return await self._chat_once(request)
                except (ModelLostError, ModelOverloadedError) as error:
                    if not _is_transient(error):
                        raise
                    await asyncio.sleep(FIRST_WAIT_S)
                return await self._chat_again(request)
        except TimeoutError as error:
            raise ModelTimeoutError(
                f"endpoint {self._name} did not finish within {deadline_s:.0f} s",
                hint="Raise the agent's call_timeout_s, or look at the server's load.",
            ) from error

    async def _chat_again(self, request: ChatRequest) -> ChatReply:
        """Repeat a call whose first try met a transient fault; the rule for that is not asked about every call."""
        retrying = AsyncRetrying(
            stop=stop_after_attempt(MAX_TRIES - 1),
            wait=wait_random_exponential(multiplier=0.4, max=8),
            retry=retry_if_exception(_is_transient),
            reraise=True,
        )
        reply: ChatReply = await retrying(self._chat_once, request)
        return reply.model_copy(update={"tries": 1 + int(retrying.statistics["attempt_number"])})

    async def model_name(self, *, deadline_s: float) -> str:
        """Return the name of the model that is being served. Raises as ``identity``."""
        return (await self.identity(deadline_s=deadline_s))[0]

    async def identity(self, *, deadline_s: float) -> tuple[str, str]:
        """Return name and listing's digest of the model that is being served; from then on it must be that one.

        Raises:
            LocalityError: the server passes questions on to a cloud.
            ModelTimeoutError, ModelLostError, ModelOutputError: as ``chat``.
        """
        try:
            async with asyncio.timeout(deadline_s):
                await self._ask_identity()
        except TimeoutError as error:
            raise ModelTimeoutError(
                f"endpoint {self._name} did not list its models within {deadline_s:.0f} s"
            ) from error
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        assert self._served is not None
        return self._served.name, self._served.digest

    async def capabilities(self, *, deadline_s: float, asked_at: datetime) -> ServerCapabilities:
        """Return who the server is and what it can do. Raises as ``model_name`` does."""
        name, identity = await self.identity(deadline_s=deadline_s)
        try:
            async with asyncio.timeout(deadline_s):
                found = await ask_capabilities(self._http, self._name, self._model)
        except TimeoutError as error:
            raise ModelTimeoutError(
                f"endpoint {self._name} did not say within {deadline_s:.0f} s what it can do"
            ) from error
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        return ServerCapabilities(
            endpoint=self._name, model=name, identity=identity, found=found, asked_at=asked_at
        )

    async def load(self) -> Load:
        return await ask_load(self._http)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _ask_identity(self) -> None:
        served = await ask_identity(self._http, self._name, self._model)
        if self._served is not None and served != self._served:
            raise self._changed(served.name)
        # An answer names the model that was asked for, where one was.
        self._served, self._model, self._asked_at = served, served.name, time.monotonic()

    async def _chat_once(self, request: ChatRequest) -> ChatReply:
        reply = StreamedReply(self._name, started=time.monotonic())
        try:
            if self._served is not None and time.monotonic() - self._asked_at > ASK_AGAIN_S:
                await self._ask_identity()
            body = self._body(request)
            reach(CrashPoint.MODEL_CALL_BEFORE)
            response = await self._http.send(self._request(body), stream=True)
            try:
                if response.status_code != 200:
                    self._refuse_status(response, await read_some(response))
                await feed(reply, response, self._name, reply_ceiling(request))
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            # Whoever answers next may be another server: it is asked who it is before it is shown anything.
            self._asked_at = -math.inf
            raise self._lost(error) from error
        reach(CrashPoint.MODEL_CALL_AFTER)
        answer = reply.finish(now=time.monotonic())
        if self._served is not None and answer.model not in ("", self._served.name):
            raise self._changed(answer.model)
        return answer

    def _request(self, body: Mapping[str, Any]) -> httpx.Request:
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        return httpx.Request("POST", self._chat_url, headers=self._headers, content=content)

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        sampling = request.sampling
        if request.model not in ("", self._model):
            raise ModelRefusedError(
                f"endpoint {self._name} was asked for {request.model!r} and answers with {self._model!r}"
            )
        body: dict[str, Any] = {
            "messages": [message.model_dump() for message in request.messages],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._model:
            body["model"] = self._model
        if request.response_schema is not None and not self.constrained:
            body["messages"][-1]["content"] += _schema_words(request.response_schema)
        elif request.response_schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": dict(request.response_schema)},
            }
        if request.top_logprobs:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        return body

    def _refuse_status(self, response: httpx.Response, content: bytes) -> None:
        status, said = response.status_code, content[:300].decode("utf-8", "replace")
        if 300 <= status < 400:
            raise ModelOutputError(
                f"endpoint {self._name} answered with a redirect ({status})",
                hint="A local server has no reason to send requests elsewhere; nothing was sent there.",
            )
        if status in (429, 503):
            raise ModelOverloadedError(
                f"endpoint {self._name} is overloaded ({status}): {said}", **_asked_wait(response.headers)
            )
        if status >= 500:
            raise ModelLostError(f"endpoint {self._name} failed ({status}): {said}")
        if status in NOT_OURS:
            raise ModelChangedError(
                f"endpoint {self._name} is not the server it was, or has not the model ({status}): {said}",
                hint="Serve the model that the night began with, without a key.",
            )
        raise ModelRefusedError(f"endpoint {self._name} refused the request ({status}): {said}")

    def _changed(self, now: str) -> ModelChangedError:
        was = self._served.name if self._served is not None else ""
        return ModelChangedError(
            f"endpoint {self._name} serves another model than at the start of the night: {now!r}, not {was!r}",
            hint="Serve the model that the night began with.",
        )

    def _lost(self, error: httpx.HTTPError) -> ModelError:
        return ModelLostError(f"endpoint {self._name} cannot be reached: {type(error).__name__}: {error}")


def _schema_words(schema: Mapping[str, Any]) -> str:
    """Return what stands in the prompt where the server cannot be given a schema."""
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return f"\n\nAnswer with one JSON object and nothing else. It must fit this JSON Schema:\n{text}"


def _is_transient(error: BaseException) -> bool:
    """Whether the same call may be made again at once."""
    return isinstance(error, ModelLostError | ModelOverloadedError) and "retry_after_s" not in error.details


def _asked_wait(headers: httpx.Headers) -> dict[str, Any]:
    """Return the wait that a server asks for, where it says one in seconds."""
    said = headers.get("retry-after", "").strip()
    return {"retry_after_s": float(said)} if said.isascii() and said.isdigit() and len(said) < 7 else {}
