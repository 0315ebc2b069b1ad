"""The HTTP client of model servers speaks to the socket it was given, whatever server or environment say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pantheon.adapters.local_http import local_client

HOSTILE = (
    b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/elsewhere\r\n"
    b"Set-Cookie: who=you; Path=/\r\nContent-Length: 0\r\n\r\n"
)


@asynccontextmanager
async def hostile_server(socket: Path) -> AsyncIterator[list[bytes]]:
    """A server that redirects and sets a cookie; yields what it was asked."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(HOSTILE)
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_unix_server(answer, socket)
    async with server:
        yield asked


async def test_no_redirect_no_cookie_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redirect is an answer, a cookie is forgotten, and proxies and logins of the environment are not read."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login me password secret\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    socket = tmp_path / "s.sock"
    async with hostile_server(socket) as asked, local_client("http://localhost", uds=str(socket)) as client:
        found = [await client.get("/v1/models") for _ in range(2)]
    assert [one.status_code for one in found] == [307, 307]
    assert [one.split(b" ", 2)[1] for one in asked] == [b"/v1/models"] * 2
    assert not [one for one in asked if b"cookie" in one.lower() or b"authorization" in one.lower()]
