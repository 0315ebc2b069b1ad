"""A repeated question is asked once, and says that it cost nothing."""

import pytest

from pantheon.core.chat import ChatRequest, Message, Sampling
from pantheon.core.errors import ModelError, ModelLostError
from pantheon.engine.memo_model import MemoModel
from pantheon.testing.model import FakeModel, Spoken


def request(text: str, *, temperature: float = 0.0) -> ChatRequest:
    """A request with one turn."""
    return ChatRequest(
        messages=(Message(role="user", content=text),),
        sampling=Sampling(temperature=temperature, max_tokens=1),
    )


async def test_the_same_question_is_asked_once() -> None:
    """The answer is the same, its cost is nothing, and after forgetting it is asked again."""
    inner = FakeModel(lambda _: Spoken("A"))
    memo = MemoModel(inner)
    first = await memo.chat(request("x"), deadline_s=1)
    again = await memo.chat(request("x"), deadline_s=1)
    assert (first.text, again.text, len(inner.requests)) == ("A", "A", 1)
    assert (again.usage.prompt_tokens, again.timings.total_s) == (0, 0.0)
    await memo.chat(request("y"), deadline_s=1)
    memo.forget()
    await memo.chat(request("x"), deadline_s=1)
    assert len(inner.requests) == 3


async def test_what_is_drawn_is_asked_each_time() -> None:
    """An answer that could be another one is never repeated."""
    inner = FakeModel(lambda _: Spoken("A"))
    memo = MemoModel(inner)
    for _ in range(2):
        await memo.chat(request("x", temperature=0.5), deadline_s=1)
    assert len(inner.requests) == 2


async def test_an_error_is_not_remembered() -> None:
    """A server that is back answers."""
    replies: list[Spoken | ModelError] = [ModelLostError("gone"), Spoken("A")]
    answers = iter(replies)
    memo = MemoModel(FakeModel(lambda _: next(answers)))
    with pytest.raises(ModelLostError):
        await memo.chat(request("x"), deadline_s=1)
    assert (await memo.chat(request("x"), deadline_s=1)).text == "A"
