"""Assemble one answer from a stream of server-sent events in the OpenAI chat format.

Source: the OpenAI chat completion chunk format as llama.cpp and vLLM send it: ``data: {json}`` lines, closed
by ``data: [DONE]``; the usage comes with the last chunk or in one of its own without choices.
"""

import json
from collections.abc import Mapping
from typing import Any

from pantheon.core.chat import ChatReply, Timings, TokenAlternatives, Usage
from pantheon.core.errors import ModelLostError, ModelOutputError, ModelOverloadedError

MAX_TOKENS = 1_000_000_000
"""Most tokens that a server may say it read or wrote in one call; what counts on with more leaves what is exact."""


class StreamedReply:
    """Collects the lines of one streamed answer.

    Args:
        endpoint: name of the endpoint, for messages.
        started: monotonic time the request was sent, in seconds.
    """

    def __init__(self, endpoint: str, *, started: float) -> None:
        self._endpoint = endpoint
        self._started = started
        self._first: float | None = None
        self._text: list[str] = []
        self._tokens: list[TokenAlternatives] = []
        self._finish: str | None = None
        self._model = ""
        self._usage: Usage | None = None

    def feed(self, line: bytes, *, now: float) -> bool:
        """Take one line; True when the answer is complete.

        Raises:
            ModelOutputError: the line is not the protocol.
            ModelOverloadedError: the server reports in the stream that it has too much to do.
            ModelLostError: the server reports an error of its own in the stream.
        """
        if not line.startswith(b"data:"):
            return False
        data = line[5:].strip()
        if data == b"[DONE]":
            return True
        try:
            chunk = json.loads(data)
            self._take(chunk, now)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise ModelOutputError(
                f"endpoint {self._endpoint}: a piece of the answer is not the protocol: {data[:120]!r}"
            ) from error
        return False

    def finish(self, *, now: float) -> ChatReply:
        """Return the whole answer. Raises ``ModelLostError`` when the stream broke off before its end."""
        if self._finish is None:
            raise ModelLostError(f"endpoint {self._endpoint} broke off in mid-answer")
        return ChatReply(
            text="".join(self._text),
            finish_reason=self._finish,
            model=self._model,
            # A server that counts nothing in streams: each piece is at least one token.
            usage=self._usage or Usage(completion_tokens=len(self._text)),
            timings=Timings(
                first_token_s=None if self._first is None else self._first - self._started,
                total_s=now - self._started,
            ),
            tokens=tuple(self._tokens),
        )

    def _take(self, chunk: Mapping[str, Any], now: float) -> None:
        if error := chunk.get("error"):
            self._refuse(error)
        self._model = str(chunk.get("model") or self._model)
        if usage := chunk.get("usage"):
            self._usage = read_usage(usage)
        for choice in chunk.get("choices") or ():
            content = (choice.get("delta") or {}).get("content")
            if content:
                if self._first is None:
                    self._first = now
                self._text.append(str(content))
            for token in (choice.get("logprobs") or {}).get("content") or ():
                self._tokens.append(_read_token(token))
            reason = choice.get("finish_reason") or self._finish
            if not isinstance(reason, str | None):
                raise TypeError("a finish reason is a text")
            self._finish = reason

    def _refuse(self, error: Any) -> None:
        said = str(error.get("message") if isinstance(error, dict) else error)[:300]
        code = error.get("code") if isinstance(error, dict) else None
        kind = ModelOverloadedError if code in (429, 503) else ModelLostError
        raise kind(f"endpoint {self._endpoint} failed in mid-answer: {said}")


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Read an OpenAI ``usage`` object; servers without prefix-cache counts give 0 cached tokens.

    Raises:
        ValueError: a count is negative or beyond ``MAX_TOKENS``, or more was cached than was sent.
    """
    details = usage.get("prompt_tokens_details") or {}
    prompt = int(usage.get("prompt_tokens") or 0)
    cached = int(details.get("cached_tokens") or 0)
    completion = int(usage.get("completion_tokens") or 0)
    if not 0 <= completion <= MAX_TOKENS or not 0 <= cached <= prompt <= MAX_TOKENS:
        raise ValueError("the token counts are impossible")
    return Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion)


def _read_token(token: Mapping[str, Any]) -> TokenAlternatives:
    top = sorted(((str(t["token"]), float(t["logprob"])) for t in token.get("top_logprobs") or ()), key=_rank)
    return TokenAlternatives(token=str(token["token"]), logprob=float(token["logprob"]), top=tuple(top))


def _rank(pair: tuple[str, float]) -> tuple[float, str]:
    return -pair[1], pair[0]
