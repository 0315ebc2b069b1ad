"""The one way to speak HTTP to a model server: to the address that was checked and to no other.

Invariants:
- no proxy, certificate or ``.netrc`` from the environment; no redirect is followed; no cookie is kept;
- whom a connection leads to is compared, on each connection, before a byte of a request is sent;
- nothing is sent twice by itself: whether to try again is the caller's to decide;
- a connection that cannot be made is given up; every other deadline is the caller's.
"""

import os
import stat
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol

import httpx

from pantheon.core.errors import LocalityError

CONNECT_TIMEOUT_S = 10.0
MADE_TCP, MADE_UNIX = "connection.connect_tcp.complete", "connection.connect_unix_socket.complete"


def local_client(base_url: str, *, uds: str | None = None, max_connections: int = 16) -> httpx.AsyncClient:
    """Return a client of one server, to be closed by the caller.

    Its calls raise ``LocalityError`` when a connection leads to somebody else.

    Args:
        base_url: ``http://host:port`` as it was checked; with ``uds`` its host is only a word.
        uds: path of the Unix socket to connect to.
        max_connections: requests at once; more wait for a connection.
    """
    return httpx.AsyncClient(
        base_url=base_url,
        transport=_CheckedTransport(httpx.URL(base_url), uds=uds, max_connections=max_connections),
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
    )


class _Stream(Protocol):
    """A connection, as httpcore tells of it."""

    def get_extra_info(self, info: str) -> Any: ...

    async def aclose(self) -> None: ...


class _CheckedTransport(httpx.AsyncHTTPTransport):
    """Looks at each connection that is made, before anything is sent over it."""

    def __init__(self, url: httpx.URL, *, uds: str | None, max_connections: int) -> None:
        super().__init__(
            uds=uds,
            trust_env=False,
            retries=0,
            limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
        )
        self._url = url
        self._uds = uds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if (request.url.scheme, request.url.host, request.url.port) != (
            self._url.scheme,
            self._url.host,
            self._url.port,
        ):
            raise LocalityError(f"a request to {request.url.host} is not one to {self._url}")
        request.extensions = {**request.extensions, "trace": self._look}
        return await super().handle_async_request(request)

    async def _look(self, event: str, info: Mapping[str, Any]) -> None:
        if event not in (MADE_TCP, MADE_UNIX):
            return
        stream: _Stream = info["return_value"]
        try:
            if self._uds is None:
                check_peer(stream, self._url)
            else:
                check_socket(Path(self._uds))
        except LocalityError:
            await stream.aclose()
            raise


def check_peer(stream: _Stream, url: httpx.URL) -> None:
    """Refuse a connection whose other end is not the address that was asked for.

    Raises:
        LocalityError: it is another, or cannot be told.
    """
    try:
        host, port = stream.get_extra_info("server_addr")[:2]
        same = ip_address(str(host)) == ip_address(url.host) and port == (url.port or 80)
    except (TypeError, ValueError) as error:
        raise LocalityError(
            f"whom the connection for {url} leads to cannot be told; nothing was sent"
        ) from error
    if not same:
        raise LocalityError(f"the connection for {url} leads to {host}:{port}; nothing was sent")


def check_socket(path: Path) -> None:
    """Refuse a socket that anybody may have put there.

    Raises:
        LocalityError: it lies in a folder that everybody can write, and is somebody else's.
    """
    try:
        found, folder = path.stat(), path.parent.stat()
    except OSError as error:
        raise LocalityError(f"{path}: cannot be looked at: {error.strerror}; nothing was sent") from error
    if folder.st_mode & stat.S_IWOTH and found.st_uid not in (0, os.geteuid()):
        raise LocalityError(
            f"{path} belongs to another user, in a folder that everybody can write; nothing was sent",
            hint="Let the server make its socket in a folder that only it can write.",
        )
