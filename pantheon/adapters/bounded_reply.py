"""Reads a streamed answer, bounded in bytes by how much was asked for."""

import time

import httpx

from pantheon.adapters.chat_stream import StreamedReply
from pantheon.adapters.http_pool import read_piece
from pantheon.core.chat import ChatRequest
from pantheon.core.errors import ModelOutputError

MAX_LINE_BYTES = 1_000_000
MAX_REPLY_BYTES = 16_000_000
REPLY_BYTES, TOKEN_BYTES, ALTERNATIVE_BYTES = 65_536, 2_048, 256
"""Room for an answer around its tokens, for each token, and for each alternative of each token."""


async def read_some(response: httpx.Response) -> bytes:
    """Return the beginning of an answer that is an error."""
    found = b""
    while len(found) <= 4_096 and (piece := await read_piece(response)):
        found += piece
    return found


def reply_ceiling(request: ChatRequest) -> int:
    """Return how many bytes the answer to a request may have."""
    per_token = TOKEN_BYTES + ALTERNATIVE_BYTES * request.top_logprobs
    return min(REPLY_BYTES + request.sampling.max_tokens * per_token, MAX_REPLY_BYTES)


async def feed(reply: StreamedReply, response: httpx.Response, name: str, ceiling: int) -> None:
    """Hand the lines of a response to a reply, until it is complete; raise when a line or the whole is too long."""
    pending, total, over = b"", 0, False
    while not over and (piece := await read_piece(response)):
        total += len(piece)
        *lines, pending = (pending + piece).split(b"\n")
        if total > ceiling or len(pending) > MAX_LINE_BYTES:
            raise ModelOutputError(f"endpoint {name} sent more than any answer can be long")
        now = time.monotonic()
        for line in lines:
            if reply.feed(line, now=now):
                over = True
                break
    if pending and not over:
        reply.feed(pending, now=time.monotonic())
