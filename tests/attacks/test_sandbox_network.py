"""Code in the sandbox reaches nobody: no kind of socket leads out, and no name service answers."""

import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.primitive("bwrap", "netns", "seccomp")


class Listeners:
    """Servers on this machine's loopback, and everything that came to them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.heard: list[str] = []
        self.path = str(folder / "socket")
        self.abstract = f"pantheon-attack-{os.getpid()}"
        self.tcp4 = self._listen(stack, "tcp4", socket.AF_INET, ("127.0.0.1", 0))
        self.tcp6 = self._listen(stack, "tcp6", socket.AF_INET6, ("::1", 0))
        self._listen(stack, "abstract", socket.AF_UNIX, "\0" + self.abstract)
        self._listen(stack, "path", socket.AF_UNIX, self.path)
        Path(self.path).chmod(0o777)
        datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", 0))
        self.udp = datagrams.getsockname()[1]
        threading.Thread(target=self._answer, args=(datagrams,), daemon=True).start()
        stack.callback(self._stop, datagrams)

    def arguments(self) -> tuple[str, ...]:
        return str(self.tcp4), str(self.tcp6), str(self.udp), self.abstract, self.path

    def _listen(self, stack: ExitStack, name: str, family: int, address: object) -> int:
        server = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        if name == "tcp4":
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 8)
        server.bind(address)
        server.listen(32)
        threading.Thread(target=self._accept, args=(server, name), daemon=True).start()
        stack.callback(self._stop, server)
        return server.getsockname()[1] if family != socket.AF_UNIX else 0

    def _accept(self, server: socket.socket, name: str) -> None:
        with suppress(OSError):
            while True:
                one, _ = server.accept()
                with one:
                    one.settimeout(1)
                    with suppress(OSError):
                        self.heard.append(f"{name}: {one.recv(100)!r}")

    def _answer(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                payload, peer = server.recvfrom(1000)
                if peer is None:
                    return
                self.heard.append(f"udp: {payload!r}")
                server.sendto(b"answer", peer)

    @staticmethod
    def _stop(server: socket.socket) -> None:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    folder = Path(tempfile.mkdtemp(prefix="pantheon-listen-"))
    folder.chmod(0o755)
    try:
        with ExitStack() as stack:
            yield Listeners(folder, stack)
    finally:
        shutil.rmtree(folder)


SERVICES = ("/run/systemd/resolve/io.systemd.Resolve", "/run/nscd/socket", "/run/dbus/system_bus_socket")
OWN = ("own loopback", "own localhost", "own unix")
NOT_WAYS = (*OWN, *SERVICES, "look up a name", "interfaces", "routes")


async def test_no_socket_leads_out(confined, listeners: Listeners) -> None:
    """Every way goes without the sandbox and none does inside: TCP, MPTCP, fast open, UDP, raw, packet, netlink, VSOCK,
    io_uring, Unix sockets abstract and by path. Servers on loopback hear nothing.
    """
    control = confined.outside("network", *listeners.arguments(), user=0)
    ways = {name for name in control if name not in NOT_WAYS}
    assert {name: control[name] for name in ways} == dict.fromkeys(ways, "went") and len(ways) >= 22
    assert len(listeners.heard) >= 10
    listeners.heard.clear()

    found = await confined.inside("network", *listeners.arguments())
    assert [name for name in ways if found[name] == "went"] == []
    assert listeners.heard == []
    assert found["interfaces"] == ["lo"] and found["routes"] == 0


async def test_kinds_of_socket_that_tests_do_not_need_are_refused(confined, listeners: Listeners) -> None:
    """The filter refuses them before the network namespace is asked, garbage in the argument's upper half included."""
    found = await confined.inside("network", *listeners.arguments())
    refused = (
        "icmp raw", "raw", "raw6", "packet", "packet datagram", "netlink", "netlink datagram", "vsock", "xdp",
        "sequenced unix", "io_uring", "garbage above the family",
    )  # fmt: skip
    assert {name: found[name] for name in refused} == dict.fromkeys(refused, "EPERM")


async def test_no_name_service_answers(confined, listeners: Listeners) -> None:
    """No resolver's or daemon's socket is there, and a name is looked up nowhere."""
    found = await confined.inside("network", *listeners.arguments())
    assert {name: found[name] for name in SERVICES} == dict.fromkeys(SERVICES, "ENOENT")
    assert found["look up a name"] == "gaierror"
    assert listeners.heard == []


async def test_tests_have_their_own_loopback(confined, listeners: Listeners) -> None:
    """What test suites need works: a server on loopback, the name localhost, a pair of Unix sockets."""
    found = await confined.inside("network", *listeners.arguments())
    assert {name: found[name] for name in OWN} == dict.fromkeys(OWN, "went")
