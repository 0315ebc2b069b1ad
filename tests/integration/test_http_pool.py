"""The transport under the model client: what it keeps, what it bounds, and what it does not fall for."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon.adapters import http_pool
from pantheon.adapters.http_connection import READ_AHEAD_BYTES, Connection
from pantheon.adapters.http_model import HttpModelClient
from pantheon.adapters.http_pool import read_piece
from pantheon.adapters.local_http import local_client
from pantheon.core.chat import ChatRequest, Message, Sampling
from pantheon.core.errors import LocalityError, ModelLostError, ModelTimeoutError
from pantheon.testing.steps import Steps

REQUEST = ChatRequest(messages=(Message(role="user", content="x"),), sampling=Sampling(max_tokens=8))
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def framed(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def said(text: str) -> bytes:
    """The chunks of an answer, without the last."""
    choice = {"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]}
    return framed(b"data: " + json.dumps(choice).encode() + b"\n\n") + framed(b"data: [DONE]\n\n")


END = b"0\r\n\r\n"
HANGS_S = 20
TURNS = 50
"""Of the loop: more than anything takes between two ends of a Unix socket, which the kernel joins at once."""
Answer = Callable[[int, int, asyncio.StreamWriter], Awaitable[bool]]
"""Takes the numbers of connection and request; False ends the connection."""


@dataclass
class Server:
    """What the clients did to it."""

    made: int = 0
    open: int = 0
    most: int = 0
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    async def left(self) -> int:
        """Wait until nobody is connected; returns how many turns of the loop that took."""
        turns = 0
        async with asyncio.timeout(HANGS_S):
            while self.open:
                await asyncio.sleep(0)
                turns += 1
        return turns


@asynccontextmanager
async def serve(path: Path, answer: Answer) -> AsyncIterator[Server]:
    """Serve with a function until the end of a ``with``."""
    server = Server()
    tasks: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        server.made += 1
        server.open += 1
        server.most = max(server.most, server.open)
        number, asked = server.made, 0
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = head.partition(b"content-length:")[2].split(b"\r\n")[0]
                await reader.readexactly(int(size or b"0"))
                asked += 1
                if not await answer(number, asked, writer):
                    return
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            server.lost.set()
        finally:
            server.open -= 1
            writer.close()
            tasks.discard(asyncio.current_task())

    async with await asyncio.start_unix_server(handle, path) as listening:
        yield server
        listening.close()
        if tasks:
            await asyncio.wait({task for task in tasks if task is not None}, timeout=1)


def client_of(path: Path, **more: int) -> HttpModelClient:
    return HttpModelClient("x", base_url="http://localhost", uds=str(path), **more)


async def well(_: int, asked: int, writer: asyncio.StreamWriter) -> bool:
    writer.write(HEAD + said(f"ok {asked}") + END)
    return True


async def test_calls_share_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten calls one after another need one connection, also when its answer ends after what the caller reads."""
    monkeypatch.setattr(http_pool, "END_GRACE_S", HANGS_S)

    async def late(_: int, asked: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(HEAD + said(f"ok {asked}"))
        await writer.drain()
        await asyncio.sleep(0.005)
        writer.write(END)
        return True

    for number, answer in enumerate((well, late)):
        async with (
            serve(tmp_path / f"{number}.sock", answer) as server,
            client_of(tmp_path / f"{number}.sock") as client,
        ):
            texts = [(await client.chat(REQUEST, deadline_s=5)).text for _ in range(10)]
        assert texts == [f"ok {asked}" for asked in range(1, 11)]
        assert server.made == 1


async def test_there_are_never_more_connections_than_allowed(tmp_path: Path) -> None:
    """Thirty calls at once over at most four connections are all answered; one given up in the queue costs no place."""

    async def slow(_: int, __: int, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(0.02)
        return await well(_, __, writer)

    async with serve(tmp_path / "s", slow) as server, client_of(tmp_path / "s", max_connections=4) as client:
        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(client.chat(REQUEST, deadline_s=10), name=f"call {number}")
            await asyncio.sleep(0.01)
            for _ in range(8):
                with pytest.raises(ModelTimeoutError):
                    await client.chat(REQUEST, deadline_s=0.001)
        assert (await client.chat(REQUEST, deadline_s=5)).text
    assert server.most == 4


@pytest.mark.parametrize("later", [False, True])
async def test_an_answer_to_nothing_is_nobodys(later: bool, tmp_path: Path) -> None:
    """What a server sends without being asked, at once or later, does not become the next call's answer."""
    planted = HEAD + said("planted") + END
    answered = asyncio.Event()

    async def plants(made: int, asked: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(HEAD + said(f"{made}.{asked}") + END + (b"" if later else planted))
        await writer.drain()
        if later:
            await answered.wait()
            answered.clear()
            writer.write(planted)
        return True

    async with serve(tmp_path / "s", plants) as server, client_of(tmp_path / "s") as client:
        found = []
        for _ in range(3):
            found.append((await client.chat(REQUEST, deadline_s=HANGS_S)).text)
            answered.set()
            for _turn in range(TURNS):
                await asyncio.sleep(0)
    assert found == ["1.1", "2.1", "3.1"]
    assert server.made == 3


async def test_a_connection_that_was_closed_meanwhile_is_made_anew(tmp_path: Path) -> None:
    """A server that closes what is kept open costs a connection, no error and no second try."""

    async def once(_: int, asked: int, writer: asyncio.StreamWriter) -> bool:
        await well(_, asked, writer)
        return False

    async with serve(tmp_path / "s", once) as server, client_of(tmp_path / "s") as client:
        for _ in range(3):
            reply = await client.chat(REQUEST, deadline_s=5)
            assert (reply.text, reply.tries) == ("ok 1", 1)
            await server.left()
            for _turn in range(TURNS):
                await asyncio.sleep(0)
    assert server.made == 3


async def test_a_cancelled_call_hangs_up_at_once(tmp_path: Path) -> None:
    """The server notices as soon as the kernel has told it, so it can stop to generate."""
    asked = asyncio.Event()

    async def forever(_: int, __: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(HEAD + framed(b": wait\n\n"))
        asked.set()
        return True

    async with serve(tmp_path / "s", forever) as server, client_of(tmp_path / "s") as client:
        with pytest.raises(ModelTimeoutError):
            await client.chat(REQUEST, deadline_s=0.1)
        assert await server.left() < TURNS
        asked.clear()
        async with asyncio.TaskGroup() as group:
            call = group.create_task(client.chat(REQUEST, deadline_s=HANGS_S), name="call")
            await asked.wait()
            call.cancel()
        assert await server.left() < TURNS
        assert server.lost.is_set()


@pytest.mark.parametrize("late", [False, True])
async def test_cancelled_at_any_step_its_connection_and_its_place_are_free(
    tmp_path: Path, late: bool
) -> None:
    """The only connection comes back, or makes room for another: the next call is answered, with its own words."""

    async def in_pieces(_: int, __: int, writer: asyncio.StreamWriter) -> bool:
        for piece in (HEAD[:40], HEAD[40:] + framed(b": wait\n\n"), said("ok"), END):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)
        return True

    async with serve(tmp_path / "s", in_pieces) as server:
        client = HttpModelClient("e", base_url="http://h", uds=str(tmp_path / "s"), max_connections=1)
        async with client, asyncio.timeout(20):
            for at in range(1, 60):
                steps = Steps(at, late=late)
                task = steps.start(client.chat(REQUEST, deadline_s=5), name="call")
                await asyncio.wait([task])
                assert (await client.chat(REQUEST, deadline_s=5)).text == "ok"
                if steps.count < at:
                    assert at > 3, "connection, head and pieces are waited for"
                    break
            else:
                pytest.fail("the call was never answered")
    assert server.made > 1


async def test_an_end_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    """After the last event a server may keep the answer open as long as it likes: the call ends, its connection too."""

    async def unended(_: int, __: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(HEAD + said("ok"))
        return True

    async with serve(tmp_path / "s", unended) as server, client_of(tmp_path / "s") as client:
        async with asyncio.timeout(HANGS_S):
            assert (await client.chat(REQUEST, deadline_s=3_600)).text == "ok"
            await server.lost.wait()


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 100 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"",
    ],
)
async def test_what_is_no_answer_in_http_is_a_lost_server(head: bytes, tmp_path: Path) -> None:
    """Heads without end, two lengths, wrong chunks, compression, other protocols, nothing: one error, no hanging."""

    async def wrong(_: int, __: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(head)
        await writer.drain()
        return False

    async with serve(tmp_path / "s", wrong), client_of(tmp_path / "s") as client:
        with pytest.raises((ModelLostError, ModelTimeoutError)):
            await client.chat(REQUEST, deadline_s=0.5)


async def test_a_server_cannot_fill_the_memory_of_a_slow_reader(tmp_path: Path) -> None:
    """What is read ahead is bounded; the server waits, and the reader still gets every byte."""
    total = 20_000_000
    sent = 0

    async def flood(_: int, __: int, writer: asyncio.StreamWriter) -> bool:
        nonlocal sent
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n".encode())
        for _number in range(total // 100_000):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000
        return True

    async with (
        serve(tmp_path / "s", flood),
        local_client("http://localhost", uds=str(tmp_path / "s")) as http,
    ):
        async with http.stream("GET", "/") as response:
            await asyncio.sleep(0.3)
            assert sent < READ_AHEAD_BYTES + 2_000_000
            got = 0
            while piece := await read_piece(response):
                got += len(piece)
        assert got == total


async def test_a_refused_connection_gives_its_place_back(tmp_path: Path) -> None:
    """More refusals than there are places still are refusals, not a wait for ever; so are failures to connect."""
    async with client_of(tmp_path / "none", max_connections=2) as client:
        for _ in range(5):
            with pytest.raises(ModelLostError):
                await client.model_name(deadline_s=1)
    async with local_client("http://localhost:1", max_connections=2) as http:
        for _ in range(5):
            with pytest.raises((LocalityError, httpx.ConnectError)):
                async with asyncio.timeout(2):
                    await http.get("/")


async def test_a_request_may_have_a_deadline_of_its_own(tmp_path: Path) -> None:
    """A timeout in the manner of httpx holds: for the head, for each piece, and for a place in the queue."""

    asked = asyncio.Event()

    async def hang(_: int, __: int, ___: asyncio.StreamWriter) -> bool:
        asked.set()
        return True

    path = tmp_path / "s"
    async with serve(path, hang), local_client("http://localhost", uds=str(path), max_connections=1) as http:
        async with asyncio.timeout(HANGS_S):
            with pytest.raises(httpx.ReadTimeout):
                await http.get("/health", timeout=0.05)
            asked.clear()
            async with asyncio.TaskGroup() as group:
                first = group.create_task(_outcome(http, give_up_s=3_600), name="holds the place")
                await asked.wait()
                second = await _outcome(http, give_up_s=0.05)
                first.cancel()
    assert (first.cancelled(), second) == (True, httpx.PoolTimeout)


async def test_a_piece_that_does_not_come_meets_the_deadline(tmp_path: Path) -> None:
    """A body that stops in its middle is given up too."""

    async def half(_: int, __: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
        return True

    path = tmp_path / "s"
    async with serve(path, half), local_client("http://localhost", uds=str(path)) as http:
        async with asyncio.timeout(HANGS_S):
            with pytest.raises(httpx.ReadTimeout):
                await http.get("/", timeout=0.05)


async def _outcome(http: httpx.AsyncClient, *, give_up_s: float) -> type[Exception]:
    try:
        await http.get("/", timeout=give_up_s)
    except httpx.TimeoutException as error:
        return type(error)
    return AssertionError


async def test_a_closed_client_makes_no_connection(tmp_path: Path) -> None:
    """After the end, a call is an error, and what was open is closed."""

    async with serve(tmp_path / "s", well) as server:
        client = client_of(tmp_path / "s")
        await client.chat(REQUEST, deadline_s=5)
        await client.aclose()
        assert await server.left() < TURNS
        assert server.lost.is_set()
        with pytest.raises(RuntimeError):
            await client.chat(REQUEST, deadline_s=5)


class Pipe(asyncio.Transport):
    """A transport that goes nowhere."""

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def abort(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 400), max_size=12), st.booleans())
def test_an_answer_may_come_in_any_pieces(cuts: list[int], keep: bool) -> None:
    """Wherever the bytes are cut, the same content comes out, and the connection is fit for another request."""
    whole = HEAD + said("hello") + said("world") + END

    async def read() -> tuple[bytes, bool]:
        connection = Connection()
        connection.connection_made(Pipe())
        connection.send(httpx.Request("GET", "http://localhost/"), b"")
        places = sorted({place % len(whole) for place in cuts} - {0})
        loop = asyncio.get_running_loop()
        for left, right in zip([0, *places], [*places, len(whole)], strict=True):
            loop.call_soon(connection.data_received, whole[left:right])
        if not keep:
            loop.call_soon(connection.eof_received)
        await connection.head()
        found = b""
        while piece := await connection.piece():
            found += piece
        await asyncio.sleep(0)
        return found, connection.restart()

    text, reusable = asyncio.run(read())
    assert text.count(b"data: ") == 4
    assert text.endswith(b"[DONE]\n\n")
    assert reusable or not keep
