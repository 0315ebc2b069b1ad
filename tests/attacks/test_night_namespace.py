"""A night cannot leave the machine: every way out is tried from where it runs, and its proof fails closed.

The controls run in a network namespace that these tests make, beside a second one with servers; nothing here can
reach any other network.
"""

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pantheon.testing.network_pair import (
    CONTAINED,
    PASSES_ON,
    PROBES,
    PYTHON,
    Pair,
    egress_probe,
    network_pair,
    within,
)

pytestmark = pytest.mark.primitive("netns", "userns", "mount_namespace", "seccomp")

OTHER_USER = 60_322


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with network_pair(tmp_path / "heard") as made:
        yield made


@pytest.fixture
def probe() -> Iterator[Path]:
    with egress_probe() as path:
        yield path


def abstract_server(pair: Pair) -> "subprocess.Popen[str]":
    """Somebody who listens on an abstract Unix socket in the attackers' namespace."""
    program = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0pantheon-attack'); s.listen()\n"
        "print(flush=True)\n"
        "while True:\n n, _ = s.accept(); n.sendall(n.recv(9)); n.close()"
    )
    process = subprocess.Popen(within(pair.near, PYTHON, "-Ic", program), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def heard_in_time(pair: Pair, word: str) -> bool:
    """Tell whether the far side has heard a word, or hears it soon."""
    end = time.monotonic() + 20
    while word not in pair.heard.read_text("utf-8"):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def ran(words: Sequence[str]) -> dict[str, str]:
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("uid", [0, OTHER_USER], ids=["root", "ordinary user"])
@pytest.mark.primitive("veth", "mptcp", "io_uring", "abstract_unix")
def test_every_way_out_is_closed(pair: Pair, probe: Path, uid: int) -> None:
    """Seventeen ways that work outside: none works where the night runs, and the far side hears nothing."""
    listener = abstract_server(pair)
    try:
        words = [PYTHON, "-I", str(probe), pair.four, pair.six, str(pair.server.pid)]
        outside = ran(within(pair.near, *words))
        assert {name for name, said in outside.items() if said != "ok"} <= {"ping_socket"}, outside
        assert heard_in_time(pair, "secret")
        subprocess.run(["ip", "-n", pair.near, "link", "del", "pt-in"], check=True)
        pair.heard.write_text("")
        inside = ran(within(pair.near, *CONTAINED, str(uid), *words))
    finally:
        listener.kill()
        listener.communicate()
    assert set(inside) == set(outside)
    assert {name: said for name, said in inside.items() if said == "ok"} == {}
    time.sleep(0.1)
    assert pair.heard.read_text("utf-8") == ""


SERVICES = (
    "/run/systemd/resolve/io.systemd.Resolve",
    "/run/nscd/socket",
    "/run/dbus/system_bus_socket",
    "/run/docker.sock",
)


@pytest.mark.parametrize("uid", [0, OTHER_USER], ids=["root", "ordinary user"])
@pytest.mark.primitive("name_services")
def test_no_name_is_looked_up_for_a_night(pair: Pair, probe: Path, tmp_path: Path, uid: int) -> None:
    """The resolver on loopback, its Unix socket, the message bus and the rest hear all outside and nothing inside."""
    resolve = probe.with_name("resolve.py")
    resolve.write_bytes((PROBES / "resolve.py").read_bytes())
    settings = tmp_path / "resolv.conf"
    settings.write_text("nameserver 127.0.0.53\noptions timeout:1 attempts:1\n")
    log = tmp_path / "asked"
    log.touch()
    services = tmp_path / "services"
    script = (
        'mount -t tmpfs -o mode=0755 none /run; mount --bind "$1" "$(readlink -m /etc/resolv.conf)" || exit 9; shift; '
        'log=$1 probes=$2 probe=$3 fifo=$4; shift 4; mkfifo "$fifo"; '
        f'{PYTHON} -I "$probes/name_services.py" "$log" {" ".join(SERVICES)} > "$fifo" & read _ < "$fifo"; '
        f'"$@" {PYTHON} -I "$probe" {" ".join(SERVICES)}; '
        'i=0; while [ "$(wc -l < "$log")" -lt "$awaited" ] && [ $((i += 1)) -lt 100 ]; do sleep 0.1; done; '
        "sleep 0.3; kill $!"
    )

    def asked(awaited: int, *inside: str) -> dict[str, str]:
        """Ask everybody, and wait until so many questions are written down, and a while for more."""
        words = ("unshare", "-m", "sh", "-c", f"awaited={awaited}; {script}", "sh")
        places = (str(settings), str(log), str(PROBES), str(resolve), str(services))
        return ran(within(pair.near, *words, *places, *inside))

    outside = asked(len(SERVICES) + 2, "env")
    heard = log.read_text("latin-1")
    for path in SERVICES:
        assert outside[path] == "ok"
        assert f"{path} secret" in heard
    assert heard.count("udp") >= 2, heard
    log.write_text("")
    services.unlink()
    inside = asked(0, *CONTAINED, str(uid))
    assert "ok" not in inside.values(), inside
    assert log.read_text("latin-1") == ""


SENDS = """
import os, sys
try:
    os.write(int(sys.argv[1]), b"secret")
    sys.stdout.write('"ok"')
except OSError as error:
    sys.stdout.write('"' + error.strerror + '"')
"""


@pytest.mark.parametrize("uid", [0, OTHER_USER], ids=["root", "ordinary user"])
@pytest.mark.parametrize("number", [3, 50, 200])
def test_a_socket_from_before_is_closed(pair: Pair, uid: int, number: int) -> None:
    """A connection that was opened outside and handed down carries words from outside, and is gone inside."""
    handed = within(pair.near, PYTHON, "-Ic", PASSES_ON, pair.four, str(number))
    sends = [PYTHON, "-Ic", SENDS, str(number)]
    assert ran([*handed, *sends]) == "ok"
    assert heard_in_time(pair, "secret")
    pair.heard.write_text("")
    assert ran([*handed, *CONTAINED, str(uid), *sends]) == "Bad file descriptor"
    time.sleep(0.2)
    assert "secret" not in pair.heard.read_text("utf-8")


def test_a_socket_as_standard_input_is_refused(pair: Pair) -> None:
    """What cannot be closed because it has a use is refused by its number and family."""
    handed = within(pair.near, PYTHON, "-Ic", PASSES_ON, pair.four, "0")
    done = subprocess.run([*handed, *CONTAINED, "0", "true"], capture_output=True, text=True, check=False)
    assert (done.returncode, "0 AF_INET" in done.stderr) == (3, True), done
