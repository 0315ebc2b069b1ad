"""Two network namespaces with a cable between them, servers in the far one, and nothing else in reach. Needs root."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PYTHON = "/usr/bin/python3"
PROBES = Path(__file__).parents[2] / "tests/attacks/probes"
CONTAINED = (sys.executable, "-m", "pantheon.testing.contained")
"""Runs a program where a night runs; what follows it is told there."""

PASSES_ON = """
import os, socket, sys
far = socket.create_connection((sys.argv[1], 8080), 3)
far.set_inheritable(True)
number = int(sys.argv[2])
os.dup2(far.fileno(), number)
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Connects, puts the connection at a descriptor, and becomes another program: ADDRESS NUMBER PROGRAM ARGS..."""


class Pair(NamedTuple):
    """What was made."""

    near: str
    """Name of the namespace where attackers are."""
    server: "subprocess.Popen[str]"
    """Somebody in the far one, who answers."""
    heard: Path
    """What he heard."""
    four: str = "10.99.7.2"
    """His addresses."""
    six: str = "fd99:7::2"


def within(name: str, *words: str) -> list[str]:
    """Return the words that run a program in a namespace."""
    return ["ip", "netns", "exec", name, *words]


def ip(*words: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def network_pair(heard: Path) -> Iterator[Pair]:
    """Make two namespaces, addresses on both ends, and servers in the far one.

    Args:
        heard: file that the servers write down what they hear.
    """
    near, far = f"pt-near-{os.getpid()}", f"pt-far-{os.getpid()}"
    server = None
    try:
        for name in (near, far):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", near, "link", "add", "pt0", "type", "veth", "peer", "name", "pt1", "netns", far)
        for name, link, last in ((near, "pt0", "1"), (far, "pt1", "2")):
            ip("-n", name, "addr", "add", f"10.99.7.{last}/24", "dev", link)
            ip("-n", name, "-6", "addr", "add", f"fd99:7::{last}/64", "dev", link, "nodad")
            ip("-n", name, "link", "set", link, "up")
        ip("-n", near, "route", "add", "default", "via", "10.99.7.2")
        ip("-n", near, "-6", "route", "add", "default", "via", "fd99:7::2")
        subprocess.run(within(near, "sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647"), check=True)
        with heard.open("w") as log:
            server = subprocess.Popen(
                within(far, PYTHON, "-I", str(PROBES / "answer.py")),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        yield Pair(near, server, heard)
    finally:
        if server is not None:
            server.kill()
            server.communicate()
        for name in (near, far):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@contextmanager
def egress_probe() -> Iterator[Path]:
    """Put the program that tries every way out where every user can read it."""
    with tempfile.TemporaryDirectory(prefix="pantheon-attack-") as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "egress.py"
        path.write_bytes((PROBES / path.name).read_bytes())
        path.chmod(0o644)
        yield path
