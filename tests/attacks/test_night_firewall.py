"""Rules by user id keep a night to one address; with less than all of them it is not proven, and does not start."""

import json
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pantheon.core.egress import egress_commands
from pantheon.testing.as_user import OtherUser
from pantheon.testing.network_pair import (
    CONTAINED,
    PASSES_ON,
    PYTHON,
    Pair,
    egress_probe,
    network_pair,
    within,
)
from pantheon.testing.user_repository import make_repository

pytestmark = pytest.mark.primitive("netns", "nftables", "uid_routes", "veth")

ROOT = Path(__file__).parents[2]
RUNNER, SOMEBODY = 60_324, 60_325


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with network_pair(tmp_path / "heard") as made:
        subprocess.run(["ip", "-n", made.near, "addr", "add", "10.99.7.20/24", "dev", "pt0"], check=True)
        yield made


@pytest.fixture
def probe() -> Iterator[Path]:
    with egress_probe() as path:
        yield path


def rules(pair: Pair, *which: str) -> None:
    """Load what the doctor tells a person to load, or the part of it that begins so."""
    for command in egress_commands(RUNNER, [pair.four], 8080):
        if not which or command.startswith(which):
            subprocess.run(
                within(pair.near, *shlex.split(command)), cwd=ROOT, check=True, capture_output=True
            )


def started(pair: Pair, uid: int, *program: str) -> tuple[int, str, str]:
    """Start a program as a night in firewall mode; returns exit code, output and reasons."""
    words = within(pair.near, *CONTAINED, str(uid), "--firewall", pair.four, *program)
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def tried(pair: Pair, probe: Path, uid: int) -> dict[str, str]:
    """Try every way out as a user, without anything else."""
    words = within(
        pair.near, "setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
        PYTHON, "-I", str(probe), pair.four, pair.six, str(pair.server.pid),
    )  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_the_doctors_own_words_mend_it(pair: Pair) -> None:
    """What `pantheon doctor --containment` prints for root is enough, and without it neither it nor a night starts."""
    with tempfile.TemporaryDirectory(prefix="pantheon-attack-") as folder:
        Path(folder).chmod(0o755)
        runner = OtherUser(RUNNER, Path(folder))
        root = make_repository(Path(folder) / "user", {"docs/a.md": b"text\n"})
        for path in (root, *root.rglob("*")):
            os.chown(path, RUNNER, RUNNER)
        assert runner.run(["init"], root).returncode == 0
        policy = root / "policies" / "night.toml"
        text = policy.read_text("utf-8").replace('containment = "netns"', 'containment = "firewall"')
        policy.write_text(
            text.replace("local_networks = []", f'local_networks = ["{pair.four}/32"]'), "utf-8"
        )
        server = {"PANTHEON_ENDPOINT_KIND": "openai", "PANTHEON_ENDPOINT_URL": f"http://{pair.four}:8080"}

        def asked(*words: str) -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                within(pair.near, *runner.pantheon(*words)), cwd=root, env=runner.environment(**server),
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip

        assert asked("night").returncode == 3
        refused = asked("doctor", "--containment")
        assert refused.returncode == 3
        commands = [
            line.strip() for line in refused.stderr.splitlines() if line.startswith(("    nft", "    ip"))
        ]
        assert len(commands) == 4, refused.stderr
        for command in commands:
            subprocess.run(within(pair.near, *shlex.split(command)), cwd=root, check=True)
        mended = asked("doctor", "--containment")
        assert mended.returncode == 0, mended.stderr
        assert "EPERM" in mended.stdout
        assert asked("night").returncode != 0, "this server speaks no HTTP"
        assert "does not answer" in asked("night").stderr


def test_without_rules_nothing_starts(pair: Pair) -> None:
    """The control: everything can be reached, and the proof names it, the name service on loopback too."""
    code, _, reasons = started(pair, RUNNER, "true")
    assert code == 3
    assert "a route leads to udp 192.0.2.1:53" in reasons
    assert "the packet filter lets udp 127.0.0.53 on lo pass" in reasons


@pytest.mark.parametrize("which", [("nft",), ("ip rule", "ip -6"), ("nft", "ip rule")])
def test_half_of_the_rules_is_no_proof(pair: Pair, which: tuple[str, ...]) -> None:
    """Packets without routes, routes without packets, and IPv4 without IPv6 are each refused."""
    rules(pair, *which)
    code, _, reasons = started(pair, RUNNER, "true")
    assert code == 3
    assert reasons


def test_with_all_rules_one_address_is_left(pair: Pair, probe: Path) -> None:
    """The runner reaches the server's port and nothing else; others are not hindered, and the night starts."""
    outside = tried(pair, probe, RUNNER)
    assert {"tcp4", "tcp6", "udp_name_service", "mptcp", "fast_open"} <= {
        k for k, v in outside.items() if v == "ok"
    }
    rules(pair)
    code, shown, reasons = started(pair, RUNNER, "id", "-u")
    assert (code, shown) == (0, f"{RUNNER}\n"), reasons
    inside = {name for name, said in tried(pair, probe, RUNNER).items() if said == "ok"}
    # Without the night's own seal; the server's port is open to it, by whatever protocol.
    assert inside <= {"tcp4", "tcp4_mapped", "mptcp", "vsock", "io_uring"}, inside
    assert "tcp4" in inside
    code, shown, reasons = started(
        pair, RUNNER, PYTHON, "-I", str(probe), pair.four, pair.six, str(pair.server.pid)
    )
    assert code == 0, reasons
    assert {k for k, v in json.loads(shown).items() if v == "ok"} <= {"tcp4", "tcp4_mapped", "mptcp"}
    somebody = tried(pair, probe, SOMEBODY)
    assert {"tcp4", "tcp6", "udp_name_service"} <= {k for k, v in somebody.items() if v == "ok"}


def test_a_server_with_an_ipv6_address(pair: Pair, probe: Path) -> None:
    """The same commands, for the other family: the runner reaches that server, and nothing over IPv4."""
    for command in egress_commands(RUNNER, [pair.six], 8080):
        subprocess.run(within(pair.near, *shlex.split(command)), cwd=ROOT, check=True, capture_output=True)
    words = within(pair.near, *CONTAINED, str(RUNNER), "--firewall", pair.six, PYTHON, "-I", str(probe))
    done = subprocess.run(
        [*words, pair.four, pair.six, str(pair.server.pid)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {name for name, said in json.loads(done.stdout).items() if said == "ok"} == {"tcp6"}


def test_a_second_door_is_seen(pair: Pair) -> None:
    """One rule too many, for a neighbour of the server or for a name service, and it is not proven."""
    rules(pair)
    assert started(pair, RUNNER, "true")[0] == 0
    wide = f"ip rule add priority 89 uidrange {RUNNER}-{RUNNER} to 10.99.7.0/28 lookup main"
    subprocess.run(within(pair.near, *wide.split()), check=True)
    code, _, reasons = started(pair, RUNNER, "true")
    assert (code, "a route leads to udp 10.99.7.3:53" in reasons) == (3, True), reasons
    subprocess.run(within(pair.near, *wide.replace(" add ", " del ").split()), check=True)
    assert started(pair, RUNNER, "true")[0] == 0
    table = within(pair.near, "nft", "delete", "table", "inet", "pantheon_egress")
    subprocess.run(table, check=True)
    assert started(pair, RUNNER, "true")[0] == 3


LISTENS = """
import os, select, socket, sys
cable = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
cable.bind(("pt0", 0))
sys.stdout.write("ready\\n")
sys.stdout.flush()
seen = 0
while True:
    for one in select.select([cable, 0], [], [])[0]:
        if one == 0:
            # What came before the question may still lie there.
            if select.select([cable], [], [], 0)[0]:
                break
            sys.stdout.write(str(seen))
            sys.exit()
        frame = cable.recv(2000)
        # Neighbours greet each other by ICMPv6; a probe would be UDP, or a question for somebody's hardware address.
        four = frame[12:14] == b"\\x08\\x00" and frame[23] == 17
        six = frame[12:14] == b"\\x86\\xdd" and frame[20] == 17
        seen += four or six or frame[12:14] == b"\\x08\\x06"
"""
HELLO = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', (sys.argv[1], 53))"


def test_the_proof_sends_nothing(pair: Pair) -> None:
    """Even where nothing is forbidden, what is asked of routes and filter puts no datagram on the cable."""

    def sent(*words: str) -> int:
        listening = within(pair.near, PYTHON, "-Ic", LISTENS)
        with subprocess.Popen(
            listening, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline() == "ready\n"
            subprocess.run(within(pair.near, *words), check=False, capture_output=True)
            time.sleep(0.3)
            return int(listener.communicate("")[0])

    assert sent(PYTHON, "-c", HELLO, pair.four) >= 1, "the control was not seen"
    assert sent(*CONTAINED, str(RUNNER), "--firewall", pair.four, "true") == 0


def test_root_is_not_held(pair: Pair) -> None:
    """A night as root is refused in this mode, whatever the rules are."""
    rules(pair)
    code, _, reasons = started(pair, 0, "true")
    assert (code, "cannot hold root" in reasons) == (3, True)


def test_a_socket_of_root_goes_around_the_rules_and_is_closed(pair: Pair) -> None:
    """Rules know the maker of a socket: handed down, it carries words past them; the night finds it closed."""
    rules(pair)
    handed = within(pair.near, PYTHON, "-Ic", PASSES_ON, pair.four, "50")
    send = "import os, sys\ntry: os.write(50, b'secret'); sys.stdout.write('sent')\nexcept OSError: pass"
    as_runner = ["setpriv", f"--reuid={RUNNER}", f"--regid={RUNNER}", "--clear-groups", PYTHON, "-Ic", send]
    assert subprocess.run([*handed, *as_runner], capture_output=True, text=True, check=True).stdout == "sent"
    words = [*handed, *CONTAINED, str(RUNNER), "--firewall", pair.four, PYTHON, "-Ic", send]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == ""
