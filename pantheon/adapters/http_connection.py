"""One connection to a model server: HTTP/1.1 by h11 over an asyncio protocol.

Invariants:
- what is read ahead of the caller is bounded; beyond that the server has to wait;
- a connection is fit for another request only when answer and request have ended, both sides keep it open, and
  nothing came that was not asked for;
- errors leave as those of httpx.

Source: RFC 9112; ADR 0016.
"""

import asyncio
from collections.abc import Callable

import h11
import httpx

READ_AHEAD_BYTES = 262_144
MAX_HEAD_BYTES = 65_536
"""Of a status line with its headers, or of what frames a chunk."""


class Connection(asyncio.Protocol):
    """One connection; a request at a time."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._ended = False
        self._paused = False
        self._broken: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > READ_AHEAD_BYTES and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._broken = True, exc
        self._lost.set()
        self._wake()

    @property
    def idle(self) -> bool:
        """Whether another request may be sent over it."""
        return self._http.our_state is h11.IDLE and not self._ended and not self._received

    def look(self, check: Callable[[asyncio.BaseTransport], None]) -> None:
        """Let somebody look at whom it leads to. Raises what ``check`` raises."""
        assert self._transport is not None
        check(self._transport)

    def close(self) -> None:
        """Break it off at once: what was not sent is not sent."""
        self._ended = True
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until its socket is closed, after ``close``."""
        if self._transport is not None:
            await self._lost.wait()

    def send(self, request: httpx.Request, content: bytes) -> None:
        """Send a request, as far as the system takes it; the rest follows while the answer is waited for.

        Raises:
            httpx.LocalProtocolError: a header that cannot be sent.
        """
        assert self._transport is not None
        headers = [pair for pair in request.headers.raw if pair[0].lower() != b"transfer-encoding"]
        try:
            head = self._http.send(
                h11.Request(method=request.method, target=request.url.raw_path, headers=headers)
            )
            body = self._http.send(h11.Data(data=content)) if content else b""
            self._http.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        self._transport.write((head or b"") + (body or b""))

    async def head(self) -> h11.Response:
        """Return status and headers of the answer. Raises ``httpx.TransportError``."""
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise httpx.RemoteProtocolError("the server began no answer")

    async def piece(self) -> bytes:
        """Return the next bytes of the answer, all that have come; empty at its end.

        Raises:
            httpx.TransportError: it breaks off, or is not HTTP.
        """
        found: list[bytes] = []
        while not self.complete:
            event = self._next() if found else await self._event()
            if not isinstance(event, h11.Data):
                break
            found.append(bytes(event.data))
        return b"".join(found)

    @property
    def complete(self) -> bool:
        """Whether the whole answer was read."""
        return self._http.their_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)

    def restart(self) -> bool:
        """Make it ready for another request; False where it must be closed."""
        http = self._http
        if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
            return False
        if http.trailing_data[0] or self._received or self._ended or self._unsent():
            return False
        http.start_next_cycle()
        return True

    def _unsent(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    async def _event(self) -> object:
        while (event := self._next()) is h11.NEED_DATA:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return event

    def _next(self) -> object:
        """Return the next event of what has come.

        Raises:
            httpx.RemoteProtocolError: it is not HTTP, or ends in its middle.
            httpx.ReadError: the connection broke.
        """
        try:
            event = self._http.next_event()
            if event is h11.NEED_DATA and self._received:
                self._http.receive_data(bytes(self._received))
                self._received.clear()
                if self._paused and self._transport is not None:
                    self._paused = False
                    self._transport.resume_reading()
                event = self._http.next_event()
            if event is h11.NEED_DATA and self._ended:
                if self._broken is not None:
                    raise httpx.ReadError(str(self._broken)) from self._broken
                self._http.receive_data(b"")
                event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return event

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
