"""The streamed answer: pieces are put together, and what is not the protocol is an error, never half an answer."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.adapters.chat_stream import StreamedReply
from pantheon.core.chat import ChatReply
from pantheon.core.errors import ModelError, ModelLostError, ModelOutputError, ModelOverloadedError


def fed(*chunks: Any) -> ChatReply:
    """The answer that these chunks make."""
    reply = StreamedReply("test", started=1.0)
    for place, chunk in enumerate(chunks):
        line = chunk if isinstance(chunk, bytes) else b"data: " + json.dumps(chunk).encode()
        if reply.feed(line, now=2.0 + place):
            break
    return reply.finish(now=9.0)


def piece(text: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk."""
    return {"choices": [{"delta": {"content": text}, "finish_reason": finish, **more}]}


STOP = piece(finish="stop")


def test_pieces_are_put_together() -> None:
    """Text in order, the time of the first piece with text, comments and blank lines passed over."""
    reply = fed(b": hello", b"", piece(""), piece("a"), piece("b"), STOP, b"data: [DONE]", b"data: no JSON")
    assert (reply.text, reply.finish_reason) == ("ab", "stop")
    assert reply.timings.first_token_s == 4.0
    assert reply.timings.total_s == 8.0


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -1},
        {"completion_tokens": -5},
        {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}},
        {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": -2}},
        {"prompt_tokens": "many"},
        {"prompt_tokens": math.inf},
        {"completion_tokens": math.nan},
        {"prompt_tokens": [1]},
        {"prompt_tokens_details": [1]},
        [1],
        "x",
    ],
)
def test_impossible_counts_are_refused(usage: Any) -> None:
    """A server cannot refund tokens to a budget, nor have cached more than it was sent."""
    with pytest.raises(ModelOutputError):
        fed({"usage": usage}, piece("a"), STOP)


@pytest.mark.parametrize(
    "chunk",
    [
        b"data: {",
        b"data: []",
        b"data: 3",
        b"data: \xff\xfe",
        b"data: " + b"[" * 100_000,
        {"choices": 3},
        piece("a", finish={"reason": "stop"}),  # type: ignore[arg-type]
        piece("a", finish=1),  # type: ignore[arg-type]
        {"choices": [3]},
        {"choices": [{"delta": 3}]},
        piece("a", logprobs={"content": [{"token": "a"}]}),
        piece("a", logprobs={"content": [{"token": "a", "logprob": "x"}]}),
        b'data: {"choices": [{"logprobs": {"content": [{"token": "a", "logprob": NaN}]}}]}',
        b'data: {"choices": [{"logprobs": {"content": [{"token": "a", "logprob": -1, "top_logprobs": '
        b'[{"token": "b", "logprob": -Infinity}]}]}}]}',
    ],
)
def test_what_is_not_the_protocol_is_refused(chunk: Any) -> None:
    """A broken piece makes the whole answer an error that names the endpoint."""
    with pytest.raises(ModelOutputError, match="test"):
        fed(chunk, piece("a"), STOP)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "busy", "code": 503}, ModelOverloadedError),
        ({"message": "busy", "code": 429}, ModelOverloadedError),
        ({"message": "broke", "code": 500}, ModelLostError),
        ("broke", ModelLostError),
    ],
)
def test_an_error_in_the_stream_ends_it(error: Any, kind: type[ModelError]) -> None:
    """What the server reports in mid-answer is an error, whatever text came before."""
    with pytest.raises(kind):
        fed(piece("a"), {"error": error}, STOP)


def test_a_stream_without_its_end_is_lost() -> None:
    """Text without a finish reason is no answer."""
    with pytest.raises(ModelLostError):
        fed(piece("whole?"), b"data: [DONE]")
    with pytest.raises(ModelLostError):
        fed()


@given(
    st.lists(st.binary(max_size=40).map(lambda data: b"data: " + data) | st.binary(max_size=40), max_size=6)
)
def test_arbitrary_lines_raise_only_model_errors(lines: list[bytes]) -> None:
    """Whatever a server sends ends as an answer or as an error of the model's family."""
    try:
        fed(*lines)
    except ModelError:
        return
    raise AssertionError("an answer without an end")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "choices delta content finish_reason usage prompt_tokens completion_tokens logprobs token "
                "logprob top_logprobs error message code prompt_tokens_details cached_tokens model".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(
    st.lists(json_values, max_size=3), st.dictionaries(st.just("choices"), st.lists(json_values, max_size=2))
)
def test_arbitrary_chunks_raise_only_model_errors(chunks: list[Any], choices: dict[str, Any]) -> None:
    """JSON of the wrong shape, at any depth, never escapes as an error of another kind."""
    try:
        reply = fed(*chunks, choices, STOP)
    except ModelError:
        return
    assert reply.usage.completion_tokens >= 0
