"""The seam to a model server."""

from typing import Protocol

from pantheon.core.chat import ChatReply, ChatRequest
from pantheon.core.concurrency import Load


class ModelClient(Protocol):
    """An OpenAI-compatible chat endpoint on this machine."""

    @property
    def endpoint(self) -> str:
        """Name of the endpoint, for records."""
        ...

    async def chat(self, request: ChatRequest, *, deadline_s: float) -> ChatReply:
        """Answer one request.

        Args:
            request: messages, sampling and, where wanted, the schema of the answer.
            deadline_s: seconds until the caller gives up; transient faults are retried inside it.

        Raises:
            ModelTimeoutError: the deadline passed.
            ModelOverloadedError: the server refused for load until the deadline; ``details["retry_after_s"]`` is the
                wait it asks for, where it says one.
            ModelLostError: the server cannot be reached or broke off.
            ModelRefusedError: the server refused this request, and would again.
            ModelChangedError: another model, or another server, answers than before.
            ModelOutputError: the answer is not the protocol.

        Cancellation:
            The connection is closed, which makes the server stop generating.
        """
        ...

    async def model_name(self, *, deadline_s: float) -> str:
        """Return the name of the model that is being served. Raises as ``chat`` does."""
        ...

    async def load(self) -> Load:
        """Return how full the server says it is; empty where it says nothing, or not in time."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...
