"""A model client that answers the same request once: known changes of one note share many of their questions."""

from dataclasses import dataclass, field

from pantheon.core.chat import ChatReply, ChatRequest, Timings, Usage
from pantheon.core.concurrency import Load
from pantheon.ports.model import ModelClient


@dataclass
class MemoModel:
    """``ModelClient`` in front of another; a repeated reproducible request costs nothing and says so.

    Args:
        inner: who is asked the first time.
    """

    inner: ModelClient
    _known: dict[ChatRequest, ChatReply] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        """The inner one's name."""
        return self.inner.endpoint

    async def chat(self, request: ChatRequest, *, deadline_s: float) -> ChatReply:
        """Answer as the inner client does; what it raises is raised and not remembered."""
        if request.response_schema is not None or request.sampling.temperature > 0:
            return await self.inner.chat(request, deadline_s=deadline_s)
        known = self._known.get(request)
        if known is not None:
            return known.model_copy(update={"usage": Usage(), "timings": Timings()})
        reply = await self.inner.chat(request, deadline_s=deadline_s)
        self._known[request] = reply
        return reply

    async def model_name(self, *, deadline_s: float) -> str:
        """Ask the inner client."""
        return await self.inner.model_name(deadline_s=deadline_s)

    def forget(self) -> None:
        """Forget all answers."""
        self._known.clear()

    async def load(self) -> Load:
        """Ask the inner client."""
        return await self.inner.load()

    async def aclose(self) -> None:
        """Close the inner client."""
        await self.inner.aclose()
