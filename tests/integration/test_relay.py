"""The relay leads to one loopback address, whatever is said to it, and does not outlive who started it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from pantheon.adapters import relay as relay_module
from pantheon.adapters.http_model import HttpModelClient
from pantheon.adapters.relay import MAX_CONNECTIONS, Relay, start_relay
from pantheon.core.errors import LocalityError
from pantheon.core.locality import Endpoint, check_endpoint_url
from pantheon.testing.scripted_model import Say, ScriptedServer


@asynccontextmanager
async def tcp_server(host: str = "127.0.0.1") -> AsyncIterator[tuple[ScriptedServer, Endpoint]]:
    """A scripted model server that only serves TCP, as LM Studio does."""
    scripted = ScriptedServer(lambda _: Say("yes"))
    server = await asyncio.start_server(scripted.handle, host)
    async with server:
        port = server.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        yield scripted, check_endpoint_url(f"http://{shown}:{port}")


@asynccontextmanager
async def relayed(target: Endpoint, tmp_path: Path) -> AsyncIterator[Path]:
    """A relay in this process."""
    path = tmp_path / "r.sock"
    server = await asyncio.start_unix_server(Relay(target).serve, path)
    async with server:
        yield path


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_tcp_server_is_reached_through_the_child(host: str) -> None:
    """The model's name comes through the relay's process, which leads nowhere else."""
    async with tcp_server(host) as (scripted, target):
        relay = await asyncio.to_thread(start_relay, target, os.environ)
        async with HttpModelClient("x", base_url=target.base_url, uds=str(relay.socket)) as client:
            assert await client.model_name(deadline_s=10) == "scripted"
        await asyncio.to_thread(relay.stop)
        assert not relay.socket.parent.exists()
    assert scripted.head_lines[0] == "GET /v1/models HTTP/1.1"
    assert f"host: {target.base_url.removeprefix('http://')}" in [
        line.lower() for line in scripted.head_lines
    ]


@pytest.mark.parametrize(
    "host", ["10.0.0.5", "127.0.0.53", "0.0.0.0", "::ffff:127.0.0.1", "::", "192.0.2.1", "localhost"]
)
def test_it_leads_to_literal_loopback_only(host: str) -> None:
    """Every other target is refused, one that a policy would allow included."""
    with pytest.raises(LocalityError, match="loopback only"):
        Relay(Endpoint(host=host, port=80))


@pytest.mark.parametrize(
    "data",
    [
        b"CONNECT 127.0.0.2:80 HTTP/1.1\r\n\r\n",
        b"GET http://127.0.0.2/ HTTP/1.1\r\nHost: 127.0.0.2\r\n\r\n",
        b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x02\x00\x50",
        b"\x04\x01\x00\x50\x7f\x00\x00\x02\x00",
        b"PROXY TCP4 127.0.0.2 127.0.0.2 80 80\r\n",
        b"\x00" * 100_000,
    ],
)
async def test_what_is_said_to_it_is_only_passed_on(data: bytes, tmp_path: Path) -> None:
    """The words of proxies are bytes like others: they arrive at the target, and nobody else is called."""
    heard, others = bytearray(), []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(heard) < len(data) and (some := await reader.read(65_536)):
            heard.extend(some)
        writer.write(b"done")
        writer.close()

    async def other(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        others.append(1)
        writer.close()

    target_server = await asyncio.start_server(listen, "127.0.0.1")
    port = target_server.sockets[0].getsockname()[1]
    other_server = await asyncio.start_server(other, "127.0.0.2", port)
    async with target_server, other_server, relayed(Endpoint(host="127.0.0.1", port=port), tmp_path) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(data)
        assert await asyncio.wait_for(reader.read(), 10) == b"done"
        writer.close()
    assert bytes(heard) == data
    assert others == []


async def test_a_peer_that_is_another_gets_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the relay is connected to is compared before it passes anything on."""
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read())
        writer.close()

    wrong = await asyncio.start_server(listen, "127.0.0.2")
    port = wrong.sockets[0].getsockname()[1]
    connect = asyncio.open_connection

    async def flipped(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await connect("127.0.0.2", port)

    monkeypatch.setattr(relay_module.asyncio, "open_connection", flipped)
    async with wrong, relayed(Endpoint(host="127.0.0.1", port=port), tmp_path) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"secret")
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    assert heard == b""


async def test_another_user_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who connects is asked for by the kernel's word."""
    async with tcp_server() as (scripted, target), relayed(target, tmp_path) as path:
        monkeypatch.setattr(relay_module.os, "geteuid", lambda: 12_345)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET /v1/models HTTP/1.1\r\n\r\n")
        with suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    assert scripted.head_lines == []


async def test_connections_are_bounded(tmp_path: Path) -> None:
    """One more than it serves is hung up on, and a place that is free again is used."""
    async with tcp_server() as (_, target), relayed(target, tmp_path) as path:
        held = [await asyncio.open_unix_connection(path) for _ in range(MAX_CONNECTIONS)]
        reader, writer = await asyncio.open_unix_connection(path)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        for _, one in held:
            one.close()
        said = b""
        async with asyncio.timeout(10):
            # A place is free once the relay has noticed who left.
            while not said:
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(b"GET /v1/models HTTP/1.1\r\n\r\n")
                with suppress(ConnectionError):
                    said = await reader.readline()
                writer.close()
        assert said.startswith(b"HTTP/1.1 200")


async def test_hanging_up_reaches_the_server(tmp_path: Path) -> None:
    """A cancelled call ends at the server too, which can stop writing."""
    gone = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        await reader.read()
        gone.set()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    async with server, relayed(Endpoint(host="127.0.0.1", port=port), tmp_path) as path:
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b"x")
        await asyncio.sleep(0.1)
        writer.close()
        await asyncio.wait_for(gone.wait(), 10)


STARTER = """
import os, sys
from pantheon.adapters.relay import start_relay
from pantheon.core.locality import Endpoint
relay = start_relay(Endpoint(host="127.0.0.1", port=9), os.environ)
os.execv("/bin/sh", ["sh", "-c", f"echo {relay.socket}; exec sleep 60"])
"""


def test_it_is_gone_when_its_parent_is(tmp_path: Path) -> None:
    """It lives on over the parent's ``exec``, and a parent that is killed in the hardest way leaves no relay."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as starter:
        assert starter.stdout is not None
        path = Path(starter.stdout.readline().strip())
        children = Path(f"/proc/{starter.pid}/task/{starter.pid}/children").read_text("ascii").split()
        assert path.is_socket()
        assert len(children) == 1
        starter.send_signal(signal.SIGKILL)
    for _ in range(400):
        if is_gone(children[0]):
            return
        time.sleep(0.05)
    pytest.fail(f"the relay {children[0]} lives on")


def is_gone(pid: str) -> bool:
    """Tell whether a process has ended, reaped or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"
