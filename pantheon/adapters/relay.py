"""Brings a model server that only serves TCP on loopback to a night that has no network: ``python -P -m`` this.

A child process that stays outside the night's namespace. It listens on a Unix socket in a private folder and passes
bytes on to one address, whatever they say.

Invariants:
- it connects to the one literal loopback address that it was started with and to nothing else, and what it connected
  to is compared before a byte is passed on;
- only processes of its own user are served, a bounded number at a time, with bounded buffers;
- it is gone when its parent is: the end of its input means so, and the kernel kills it as well;
- it makes Unix, IPv4 and IPv6 sockets only, and its memory cannot be read by others.
"""

import asyncio
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from select import select
from typing import NamedTuple

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.containment import kernel
from pantheon.adapters.containment.seal import close_inherited, seal_process
from pantheon.adapters.socket_folder import socket_folder
from pantheon.core.errors import LocalityError, ModelError, PreflightError
from pantheon.core.locality import Endpoint, check_endpoint_url

MAX_CONNECTIONS = 64
CHUNK_BYTES = 65_536
CONNECT_TIMEOUT_S = 10.0
START_TIMEOUT_S = 20.0
ENVIRONMENT = ("HOME", "LANG", "PATH", "TMPDIR", "XDG_RUNTIME_DIR")


class Relay:
    """Passes connections on to one loopback address.

    Args:
        target: where to; loopback only.

    Raises:
        LocalityError: the target is anything else.
    """

    def __init__(self, target: Endpoint) -> None:
        if not target.is_loopback:
            raise LocalityError(f"a relay leads to loopback only, not to {target.host}")
        self._target = target
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on until either side ends it."""
        if self._open >= MAX_CONNECTIONS or not _same_user(writer):
            writer.close()
            return
        self._open += 1
        try:
            await self._pass_on(reader, writer)
        except (OSError, TimeoutError):
            return  # to the night it is a server that broke off
        finally:
            self._open -= 1
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            far_reader, far_writer = await asyncio.open_connection(self._target.host, self._target.port)
        try:
            if _is_peer(far_writer, self._target):
                await _both_ways(reader, writer, far_reader, far_writer)
        finally:
            far_writer.close()


class StartedRelay(NamedTuple):
    """A relay in a process of its own."""

    socket: Path
    """Where it listens."""
    process: "subprocess.Popen[bytes]"

    def stop(self) -> None:
        """End it and wait for its end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def start_relay(target: Endpoint, environment: Mapping[str, str]) -> StartedRelay:
    """Start a relay as a child of this process. Blocks until it listens.

    The descriptor that keeps it alive stays open over ``exec``.

    Args:
        target: the loopback address to lead to.
        environment: the process's own; the child gets an allow-list of it.

    Raises:
        PreflightError: it does not start.
    """
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "pantheon.adapters.relay"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        env={name: environment[name] for name in ENVIRONMENT if name in environment},
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    order = json.dumps({"url": target.base_url, "parent_pid": os.getpid()})
    with suppress(BrokenPipeError):
        child.stdin.write(order.encode() + b"\n")
        child.stdin.flush()
    with child.stdout:
        ready, _, _ = select([child.stdout], [], [], START_TIMEOUT_S)
        path = child.stdout.readline().decode().rstrip("\n") if ready else ""
    if not path:
        child.kill()
        StartedRelay(Path(), child).stop()
        raise PreflightError(f"the relay to {target.base_url} does not start")
    os.set_inheritable(child.stdin.fileno(), True)
    return StartedRelay(Path(path), child)


def main() -> None:
    """Serve until stdin ends. Never returns normally."""
    order = json.loads(sys.stdin.buffer.readline() or b"{}")
    kernel.prctl(kernel.PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != order.get("parent_pid"):
        sys.exit("the relay's parent is gone")
    close_inherited()
    seal_process()
    try:
        relay = Relay(check_endpoint_url(order["url"]))
        with socket_folder(os.environ, SystemClock().now()) as folder:
            asyncio.run(_listen(relay, folder / "r.sock"))
    except (LocalityError, ModelError) as error:
        sys.exit(error.message)


async def _listen(relay: Relay, path: Path) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(0, lambda: None if os.read(0, 4096) else ended.set())
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, ended.set)
    server = await asyncio.start_unix_server(relay.serve, path, limit=CHUNK_BYTES)
    sys.stdout.write(f"{path}\n")
    sys.stdout.close()
    await ended.wait()
    server.close()


async def _both_ways(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    """Pass bytes on until either side has ended: who hangs up wants no answer any more."""
    async with asyncio.TaskGroup() as group:
        ways = (
            group.create_task(_pump(reader, far_writer), name="there"),
            group.create_task(_pump(far_reader, writer), name="back"),
        )
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()


def _same_user(writer: asyncio.StreamWriter) -> bool:
    peer: socket.socket = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack(
        "3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return bool(uid == os.geteuid())


def _is_peer(writer: asyncio.StreamWriter, target: Endpoint) -> bool:
    host, port = writer.get_extra_info("peername")[:2]
    return ip_address(host) == ip_address(target.host) and port == target.port


if __name__ == "__main__":
    main()
