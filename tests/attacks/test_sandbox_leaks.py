"""Code in the sandbox finds nothing of its caller: no variable, no command line, no open descriptor, no socket."""

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.sandbox.bubblewrap import open_bubblewrap
from pantheon.core.sandbox import SandboxLimits
from pantheon.testing.sandbox_as import SandboxAs

pytestmark = pytest.mark.primitive("bwrap")

CANARY = "canary-2f9c41d7"
SECRETS = {"AWS_SECRET_ACCESS_KEY": f"aws-{CANARY}", "OPENAI_API_KEY": f"sk-{CANARY}"}


async def test_no_variable_of_the_caller_is_found(confined) -> None:
    """Neither in the program's own environment nor in that of any process that it sees, bubblewrap's among them."""
    control = confined.outside("environment", env={**os.environ, **SECRETS})
    assert sum(CANARY in text for text in control["texts"].values()) >= 2

    assert CANARY in os.environ["PANTHEON_CANARY"]
    found = await confined.inside("environment")
    assert [name for name, text in found["texts"].items() if CANARY in text] == []
    assert found["texts"].get("1/environ", "") == ""
    variables = eval(found["texts"]["os.environ"])
    assert set(variables) - {"LC_CTYPE"} == {"HOME", "LANG", "LOGNAME", "PATH", "PWD", "TMPDIR", "USER"}


async def test_a_variable_that_is_given_is_in_no_command_line(confined) -> None:
    """What a caller hands over goes to the program, and not where every process of the machine could read it."""
    limits = SandboxLimits(wall_s=20)
    argv = ("/bin/sh", "-c", "echo $GIVEN; tr '\\0' ' ' </proc/1/cmdline; cat /proc/1/environ")
    result = await confined.sandbox.run(argv, confined.tree, limits, env={"GIVEN": "word-8d1c"})
    assert result.stdout.count(b"word-8d1c") == 1, result


async def test_no_path_of_the_tree_is_in_a_command_line(confined) -> None:
    """bubblewrap is told through a descriptor."""
    found = await confined.inside("environment")
    lines = [text for name, text in found["texts"].items() if name.endswith("cmdline")]
    assert lines and not [line for line in lines if str(confined.tree) in line]


class Leaks(NamedTuple):
    """Descriptors that every child would get, were they not closed."""

    secret: int
    connected: int
    peer: socket.socket


@pytest.fixture
def leaks(tmp_path: Path) -> Iterator[Leaks]:
    """A readable secret and a connected TCP socket, both inheritable."""
    (tmp_path / "secret").write_text(CANARY)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(server.getsockname()))
        peer = stack.enter_context(server.accept()[0])
        peer.settimeout(0.3)
        opened = os.open(tmp_path / "secret", os.O_RDONLY)
        stack.callback(os.close, opened)
        for number, source in ((150, opened), (151, client.fileno())):
            os.dup2(source, number, inheritable=True)
            stack.callback(os.close, number)
        yield Leaks(150, 151, peer)


@pytest.fixture(params=["root", "ordinary user"])
async def leaky(request: pytest.FixtureRequest, confined_trees, leaks: Leaks) -> AsyncIterator[object]:
    """A sandbox whose caller has those descriptors open."""
    if request.param == "root":
        yield confined_trees(open_bubblewrap(SystemClock()), 0)
        return
    sandbox = await SandboxAs.start(60_321, keep=(leaks.secret, leaks.connected))
    try:
        yield confined_trees(sandbox, 60_321)
    finally:
        await sandbox.aclose()


async def test_no_descriptor_of_the_caller_is_inherited(leaky, leaks: Leaks) -> None:
    """A file and a connected socket that are open in the caller are closed to the program.

    A socket from before is a way around every namespace: the control speaks through it.
    """
    control = leaky.outside("environment", close_fds=False)
    assert control["read"]["150"] == CANARY and 151 in control["sent"]
    assert leaks.peer.recv(100) == b"leaked"

    found = await leaky.inside("environment")
    assert set(found["descriptors"]) <= {"0", "1", "2", "3"}  # 3: the probe's own look at its descriptors
    assert found["descriptors"]["0"] == "/dev/null"
    assert found["read"] == {"0": ""} and found["sent"] == []
    with pytest.raises(TimeoutError):
        leaks.peer.recv(100)
