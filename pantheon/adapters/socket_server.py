"""What all ways to run the embedded server share: its address, in a folder that lasts as long as it serves."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from pantheon.adapters.socket_folder import socket_folder
from pantheon.ports.clock import Clock

BASE_URL = "http://localhost"


class SocketServer(ABC):
    """An async context manager that serves at a Unix socket inside it.

    Args:
        environment: says where a folder for the socket can be.
        clock: for making the folder, and for what serves in it.
        socket: where to serve; None makes a folder for it.

    Cancellation:
        What was begun is ended before the error goes on.
    """

    def __init__(self, environment: Mapping[str, str], clock: Clock, socket: Path | None = None) -> None:
        self._environment = environment
        self._clock = clock
        self._stack = AsyncExitStack()
        self._socket = socket

    @property
    def socket(self) -> Path:
        """Absolute path of the Unix socket, under 100 bytes."""
        assert self._socket is not None, "the server is not running"
        return self._socket

    @property
    def base_url(self) -> str:
        """What goes before ``/v1``; the host is only a word, the connection goes to the socket."""
        return BASE_URL

    async def __aenter__(self) -> Self:
        try:
            if self._socket is None:
                folder = self._stack.enter_context(socket_folder(self._environment, self._clock.now()))
                self._socket = folder / "s.sock"
            await self._serve(self._socket, self._stack)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @abstractmethod
    async def _serve(self, socket: Path, stack: AsyncExitStack) -> None:
        """Serve at the socket, and leave on the stack what ends that."""
