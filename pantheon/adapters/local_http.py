"""The one way to speak HTTP to a model server: to the address that was checked and to no other.

Invariants:
- no proxy, certificate or ``.netrc`` from the environment; no redirect is followed; no cookie is kept;
- whom a connection leads to is compared, on each connection, before a byte of a request is sent;
- nothing is sent twice by itself: whether to try again is the caller's to decide;
- a connection that cannot be made is given up; every other deadline is the caller's.
"""

import os
import stat
from asyncio import BaseTransport
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from pathlib import Path

import httpx

from pantheon.adapters.http_pool import PooledTransport
from pantheon.core.errors import LocalityError

CONNECT_TIMEOUT_S = 10.0


def local_client(base_url: str, *, uds: str | None = None, max_connections: int = 16) -> httpx.AsyncClient:
    """Return a client of one server, to be closed by the caller.

    Its calls raise ``LocalityError`` when a connection leads to somebody else.

    Args:
        base_url: ``http://host:port`` as it was checked; with ``uds`` its host is only a word.
        uds: path of the Unix socket to connect to.
        max_connections: requests at once; more wait for a connection.
    """
    url = httpx.URL(base_url)

    def check(connection: BaseTransport) -> None:
        if uds is None:
            check_peer(connection, url)
        else:
            check_socket(Path(uds))

    def admit(asked: httpx.URL) -> None:
        if (asked.scheme, asked.host, asked.port) != (url.scheme, url.host, url.port):
            raise LocalityError(f"a request to {asked.host} is not one to {url}")
        if asked.scheme != "http":
            raise LocalityError(f"{url}: a local server is asked by http")

    return httpx.AsyncClient(
        base_url=base_url,
        headers={"accept-encoding": "identity"},
        transport=PooledTransport(
            url,
            uds=uds,
            max_connections=max_connections,
            connect_timeout_s=CONNECT_TIMEOUT_S,
            check=check,
            admit=admit,
        ),
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=None,
    )


def check_peer(connection: BaseTransport, url: httpx.URL) -> None:
    """Refuse a connection whose other end is not the address that was asked for.

    Raises:
        LocalityError: it is another, or cannot be told.
    """
    try:
        host, port = connection.get_extra_info("peername")[:2]
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
