"""A model client behind the breaker: what a call comes to decides whether the next one is made.

Invariants:
- while the breaker is not closed no call reaches the server but the keeper's probes;
- a call that ran out of time, or was answered with something that is no answer, is the server's fault only when the
  server then fails a probe, or when the answer itself says so;
- a breakdown is told once, at once, before anybody else can make a call.
"""

import asyncio
from collections.abc import Callable

from pantheon.core.breaker import Breaker
from pantheon.core.chat import ChatReply, ChatRequest, Message, Sampling
from pantheon.core.concurrency import Load
from pantheon.core.errors import (
    LocalityError,
    ModelChangedError,
    ModelError,
    ModelLostError,
    ModelOutputError,
    ModelRefusedError,
    ModelTimeoutError,
    PantheonError,
)
from pantheon.ports.clock import Clock
from pantheon.ports.model import ModelClient

PROBE_S = 10.0
"""Seconds for each half of a probe."""
PROBE = ChatRequest(messages=(Message(role="user", content="1"),), sampling=Sampling(max_tokens=1))
"""One token: the least that shows that the model answers and not only its web server."""


class GuardedModel:
    """``ports.model.ModelClient`` around another one.

    Args:
        client: what is asked.
        clock: for the breaker.
        opened: told that the breaker has opened; must be quick.
    """

    def __init__(self, client: ModelClient, clock: Clock, opened: Callable[[], None]) -> None:
        self._client = client
        self._clock = clock
        self._opened = opened
        self._suspecting = asyncio.Lock()
        self.breaker = Breaker()

    @property
    def endpoint(self) -> str:
        return self._client.endpoint

    async def chat(self, request: ChatRequest, *, deadline_s: float) -> ChatReply:
        if not self.breaker.closed:
            raise ModelLostError(f"the model server is lost: {self.breaker.why}")
        try:
            reply = await self._client.chat(request, deadline_s=deadline_s)
        except ModelRefusedError:
            self.breaker = self.breaker.worked()
            raise
        except ModelTimeoutError as error:
            if problem := await self._suspect():
                raise ModelLostError(f"{error.message}, and then: {problem}") from error
            raise
        except LocalityError as error:
            self._break(error)
            raise ModelChangedError(error.message, hint=error.hint) from error
        except ModelError as error:
            if isinstance(error, ModelChangedError) or not isinstance(error, ModelOutputError):
                self._break(error)
            else:
                await self._suspect()
            raise
        self.breaker = self.breaker.worked()
        return reply

    async def model_name(self, *, deadline_s: float) -> str:
        return await self._client.model_name(deadline_s=deadline_s)

    async def load(self) -> Load:
        return await self._client.load()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def probe(self) -> PantheonError | None:
        """Ask the server who it is and for one token; returns what went wrong."""
        try:
            await self._client.model_name(deadline_s=PROBE_S)
            await self._client.chat(PROBE, deadline_s=PROBE_S)
        except ModelRefusedError:
            # Not what it was asked, but whether it is there, is the question.
            return None
        except (ModelError, LocalityError) as error:
            return error
        return None

    async def _suspect(self) -> str:
        """Ask the server after a call that may be its fault; returns what is wrong with it."""
        async with self._suspecting:
            if self.breaker.closed and (problem := await self.probe()) is not None:
                self._break(problem)
        return self.breaker.why

    def _break(self, error: PantheonError) -> None:
        was_closed = self.breaker.closed
        self.breaker = self.breaker.broke(
            error.message, now_s=self._clock.monotonic(), retry_after_s=asked_wait_s(error)
        )
        if was_closed:
            self._opened()


def asked_wait_s(error: PantheonError) -> float:
    """Return how long a server asks to be left alone, in seconds."""
    return float(error.details.get("retry_after_s", 0.0))
