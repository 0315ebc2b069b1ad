"""The one way to speak HTTP to a model server: to the address that was checked and to no other.

Invariants:
- no proxy, certificate or ``.netrc`` from the environment; no redirect is followed; no cookie is kept;
- nothing is sent twice by itself: whether to try again is the caller's to decide;
- a connection that cannot be made is given up; every other deadline is the caller's.
"""

from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

CONNECT_TIMEOUT_S = 10.0


def local_client(base_url: str, *, uds: str | None = None, max_connections: int = 16) -> httpx.AsyncClient:
    """Return a client of one server, to be closed by the caller.

    Args:
        base_url: ``http://host:port`` as it was checked; with ``uds`` its host is only a word.
        uds: path of the Unix socket to connect to.
        max_connections: requests at once; more wait for a connection.
    """
    transport = httpx.AsyncHTTPTransport(
        uds=uds,
        trust_env=False,
        retries=0,
        limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
    )
    return httpx.AsyncClient(
        base_url=base_url,
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
    )
