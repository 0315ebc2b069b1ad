"""One endpoint that serves several models: each has a client that holds it to what it was, and all are one server."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from pantheon.core.canonical import digest_value
from pantheon.core.chat import ChatReply, ChatRequest
from pantheon.core.concurrency import Load
from pantheon.core.errors import ModelRefusedError
from pantheon.ports.identity import IdentifiedModel
from pantheon.ports.model import ModelClient

Restore = Callable[[], Awaitable[None]]
"""Has a server that was started again load what it had to load before; raises ``ModelError`` or ``LocalityError``."""


async def _restores_nothing() -> None:
    """Nothing was loaded into it."""


@dataclass(frozen=True)
class EndpointModels:
    """``ports.model.ModelClient`` in front of one client for each model of an endpoint.

    Args:
        endpoint: its name, for records.
        clients: name that is asked for -> its client; the empty name is the night's own model, where it is served
            here. There is at least one.
        restore: asked before a server that was lost is held against what it was.
    """

    endpoint: str
    clients: Mapping[str, ModelClient]
    restore: Restore = _restores_nothing

    async def chat(self, request: ChatRequest, *, deadline_s: float) -> ChatReply:
        """Have the model that the request names answer; one that names none is answered by the first."""
        client = self.clients.get(request.model) or (None if request.model else self._first)
        if client is None:
            raise ModelRefusedError(f"endpoint {self.endpoint} was not configured to serve {request.model!r}")
        return await client.chat(request, deadline_s=deadline_s)

    async def model_name(self, *, deadline_s: float) -> str:
        """Return the first model's name, once every model was found to be what it was."""
        return (await self.identity(deadline_s=deadline_s))[0]

    async def identity(self, *, deadline_s: float) -> tuple[str, str]:
        """Return the first model's name, and a digest over all of them.

        Raises:
            LocalityError: the server passes questions on to a cloud.
            ModelError: as ``ModelClient.model_name``.
        """
        told = await self.identities(deadline_s=deadline_s)
        return next(iter(told)), digest_value(sorted(map(list, told.items())))

    async def identities(self, *, deadline_s: float) -> Mapping[str, str]:
        """Return model -> digest of what the server says of it. Raises as ``identity`` does."""
        told: dict[str, str] = {}
        for client in self._each():
            assert isinstance(client, IdentifiedModel)
            name, digest = await client.identity(deadline_s=deadline_s)
            told[name] = digest
        return told

    async def load(self) -> Load:
        """Ask the server once."""
        return await self._first.load()

    async def aclose(self) -> None:
        """Close every client."""
        for client in self._each():
            await client.aclose()

    def _each(self) -> Iterable[ModelClient]:
        """Return every client once: a model may be asked for by two names."""
        return {id(client): client for client in self.clients.values()}.values()

    @property
    def _first(self) -> ModelClient:
        return next(iter(self.clients.values()))
