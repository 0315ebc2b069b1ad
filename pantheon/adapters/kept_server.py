"""The embedded server of a night, started again when it ends, at the same socket.

Invariants:
- there is at most one process, and none once the context is left;
- its address stays the same, so that clients need not be told;
- it is started again a bounded number of times; when, is the caller's decision.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from pantheon.adapters.llama_server import EmbeddedServer
from pantheon.adapters.socket_server import SocketServer
from pantheon.core.errors import ModelGoneError
from pantheon.ports.clock import Clock

MAX_RESTARTS = 10
"""Times that a night starts its server again."""
_log = structlog.get_logger()

Make = Callable[[Path], EmbeddedServer]
"""Socket -> a server that will serve there."""


class KeptServer(SocketServer):
    """``ports.server.ModelServer``, and an async context manager: the server runs inside it.

    Args:
        make: makes the server; called anew for each start.
        environment: says where the socket's folder can be.
        clock: for the folder.
        max_restarts: times that it is started again.

    Raises:
        ModelError: on entry, as ``EmbeddedServer`` does.
    """

    def __init__(
        self, make: Make, environment: Mapping[str, str], clock: Clock, *, max_restarts: int = MAX_RESTARTS
    ) -> None:
        super().__init__(environment, clock)
        self._make = make
        self._max_restarts = max_restarts
        self._running: EmbeddedServer | None = None
        self.restarts = 0
        """Times that it was started again."""

    @property
    def pid(self) -> int:
        """Process id of the child."""
        assert self._running is not None, "the server is not running"
        return self._running.pid

    async def mend(self, *, hung: bool) -> None:
        if self._running is not None and self._running.alive and not hung:
            return
        if self.restarts >= self._max_restarts:
            raise ModelGoneError(
                f"the embedded server was started again {self.restarts} times and does not stay",
                hint="Look at the end of its log; pantheon night goes on where this one stopped.",
            )
        self.restarts += 1
        _log.warning("server.restart", number=self.restarts, hung=hung)
        await self._end()
        await self._begin(self.socket)

    async def _serve(self, socket: Path, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._end)
        await self._begin(socket)

    async def _begin(self, socket: Path) -> None:
        # What a killed server leaves of its socket keeps the next one from binding there.
        await asyncio.to_thread(socket.unlink, missing_ok=True)
        running = self._make(socket)
        await running.__aenter__()
        self._running = running

    async def _end(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.__aexit__(None, None, None)
