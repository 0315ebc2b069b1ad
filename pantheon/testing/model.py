"""A model in memory: answers what a script says, without a server."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from pantheon.core.chat import ChatReply, ChatRequest, Timings, TokenAlternatives, Usage
from pantheon.core.concurrency import Load
from pantheon.core.errors import ModelError, ModelTimeoutError


@dataclass(frozen=True)
class Spoken:
    """One answer."""

    text: str
    finish_reason: str = "stop"
    top: tuple[tuple[str, float], ...] = ()
    """Alternatives at the first token, likeliest first."""
    completion_tokens: int = 5
    delay_s: float = 0.0
    """Until the answer is there."""


ModelScript = Callable[[ChatRequest], Spoken | ModelError]
"""Request -> what to answer, or the error to raise."""


@dataclass
class FakeModel:
    """``ports.model.ModelClient`` over a script.

    Args:
        script: what to answer.
        name: the name it reports.
    """

    script: ModelScript
    name: str = "fake"
    requests: list[ChatRequest] = field(default_factory=list)
    """The requests so far."""
    closed: bool = False

    @property
    def endpoint(self) -> str:
        return "fake"

    async def chat(self, request: ChatRequest, *, deadline_s: float) -> ChatReply:
        self.requests.append(request)
        said = self.script(request)
        if isinstance(said, ModelError):
            raise said
        try:
            async with asyncio.timeout(deadline_s):
                await asyncio.sleep(said.delay_s)
        except TimeoutError as error:
            raise ModelTimeoutError(f"no answer within {deadline_s:.0f} s") from error
        top = said.top[: request.top_logprobs]
        return ChatReply(
            text=said.text,
            finish_reason=said.finish_reason,
            model=self.name,
            usage=Usage(
                prompt_tokens=sum(len(message.content) for message in request.messages),
                completion_tokens=min(said.completion_tokens, request.sampling.max_tokens),
            ),
            timings=Timings(first_token_s=0.001, total_s=0.002),
            tokens=(TokenAlternatives(token=top[0][0], logprob=top[0][1], top=top),) if top else (),
        )

    async def model_name(self, *, deadline_s: float) -> str:
        if deadline_s <= 0:
            raise ModelTimeoutError("the deadline had passed before the question")
        return self.name

    async def load(self) -> Load:
        return Load()

    async def aclose(self) -> None:
        self.closed = True
