"""A transport of httpx for one server: a bounded number of connections, kept and looked at one by one.

Invariants:
- there are never more connections than allowed; further requests wait their turn, first come, first served;
- each new connection is checked before a byte is sent over it;
- nothing is sent twice; a request given up, or an answer not read to its end, closes its connection;
- what is compressed is refused, so that the bytes that are counted are the bytes that come;
- a request's own timeouts hold as httpx defines them; without any, only making a connection has one.

Source: ADR 0016.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import httpx

from pantheon.adapters.http_connection import Connection

END_GRACE_S = 0.05
"""How long the end of an answer is waited for whose reader has seen all that he wants: a connection costs more."""
END_GRACE_PIECES = 16

READER = "pantheon.read"
"""Extension of a response: the function behind ``read_piece``."""

T = TypeVar("T")
Check = Callable[[asyncio.BaseTransport], None]
"""Raises when a connection leads to somebody else."""


class PooledTransport(httpx.AsyncBaseTransport):
    """Connections to one address.

    Args:
        url: the server's; the only one that is asked.
        uds: Unix socket to connect to instead of its host.
        max_connections: requests at once.
        connect_timeout_s: seconds until a connection that cannot be made is given up.
        check: looks at each connection when it is made.
        admit: looks at each request before anything else is done with it.
    """

    def __init__(
        self,
        url: httpx.URL,
        *,
        uds: str | None,
        max_connections: int,
        connect_timeout_s: float,
        check: Check,
        admit: Callable[[httpx.URL], None],
    ) -> None:
        self._url, self._uds = url, uds
        self._connect_timeout_s = connect_timeout_s
        self._check, self._admit = check, admit
        self._free = asyncio.Semaphore(max_connections)
        self._idle: list[Connection] = []
        self._used: set[Connection] = set()
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its answer, whose stream is still to be read.

        Raises:
            httpx.TransportError: no connection, a broken one, or something that is not HTTP.

        Cancellation:
            The connection is closed.
        """
        self._admit(request.url)
        content = await request.aread()
        limits = request.extensions.get("timeout", {})
        await within(limits.get("pool"), self._free.acquire(), httpx.PoolTimeout)
        connection = None
        try:
            connection = self._take() or await self._connect()
            self._used.add(connection)
            connection.send(request, content)
            read_s = limits.get("read")
            head = await within(read_s, connection.head(), httpx.ReadTimeout)
        except BaseException:
            self._give_back(connection, reusable=False)
            raise
        body = _Body(connection, self._give_back, read_s)
        extensions = {"http_version": b"HTTP/" + head.http_version, READER: body.read}
        response = httpx.Response(
            head.status_code, headers=head.headers.raw_items(), stream=body, extensions=extensions
        )
        if response.headers.get("content-encoding", "identity") != "identity":
            self._give_back(connection, reusable=False)
            raise httpx.DecodingError("the answer is compressed, which was not asked for", request=request)
        return response

    async def aclose(self) -> None:
        """Close every connection, also those in use."""
        self._closed = True
        every = (*self._idle, *self._used)
        self._idle.clear()
        for connection in every:
            connection.close()
        for connection in every:
            await connection.wait_closed()

    def _take(self) -> Connection | None:
        """Return the connection that was used last and is still good; forget those that are not."""
        while self._idle:
            connection = self._idle.pop()
            if connection.idle:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: Connection | None, *, reusable: bool) -> None:
        if connection is not None:
            self._used.discard(connection)
            if reusable and not self._closed and connection.restart():
                self._idle.append(connection)
            else:
                connection.close()
        self._free.release()

    async def _connect(self) -> Connection:
        if self._closed:
            raise httpx.ConnectError("the client is closed")
        loop = asyncio.get_running_loop()
        connection = Connection()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                if self._uds is None:
                    host, port = self._url.host, self._url.port or 80
                    await loop.create_connection(lambda: connection, host, port)
                else:
                    await loop.create_unix_connection(lambda: connection, self._uds)
            connection.look(self._check)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection within {self._connect_timeout_s:.0f} s") from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        except BaseException:
            connection.close()
            raise
        return connection


async def read_piece(response: httpx.Response) -> bytes:
    """Return the next bytes of a streamed answer of this transport; empty at its end.

    Reading through the response's own iterators costs as much as the rest of a call, most of it for what is left of
    them when the last piece is not waited for.

    Raises:
        httpx.TransportError: it breaks off, or is not HTTP.
    """
    piece: bytes = await response.extensions[READER]()
    return piece


async def within(seconds: float | None, wait: Awaitable[T], fault: type[httpx.TimeoutException]) -> T:
    """Wait for something, with httpx's own deadline where a request has one; None waits on."""
    if seconds is None:
        return await wait
    try:
        async with asyncio.timeout(seconds):
            return await wait
    except TimeoutError as error:
        raise fault(f"nothing came within {seconds:g} s") from error


class _Body(httpx.AsyncByteStream):
    """The body of an answer; gives its connection back once."""

    def __init__(self, connection: Connection, give_back: Callable[..., None], read_s: float | None) -> None:
        self._connection, self._give_back, self._read_s = connection, give_back, read_s
        self._broken = self._over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.read():
            yield piece

    async def read(self) -> bytes:
        try:
            return await within(self._read_s, self._connection.piece(), httpx.ReadTimeout)
        except BaseException:
            self._broken = True
            raise

    async def aclose(self) -> None:
        if self._over:
            return
        self._over = True
        try:
            if not self._broken and not self._connection.complete:
                await self._await_end()
        finally:
            self._give_back(self._connection, reusable=not self._broken)

    async def _await_end(self) -> None:
        """Read what little may be left of an answer; what takes longer is not worth it."""
        try:
            async with asyncio.timeout(END_GRACE_S):
                for _ in range(END_GRACE_PIECES):
                    if not await self.read():
                        return
        except (TimeoutError, httpx.TransportError):
            self._broken = True
