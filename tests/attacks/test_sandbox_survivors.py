"""Nothing that code in the sandbox started outlives the call, however that ended."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.sandbox.bubblewrap import open_bubblewrap
from pantheon.adapters.sandbox.plain import PlainProcess
from pantheon.core.sandbox import SandboxLimits
from pantheon.testing.sandbox_as import SandboxAs

pytestmark = pytest.mark.primitive("bwrap", "pidns")

PYTHON = "/usr/bin/python3"
SURVIVE = """
import os, signal, sys, time
for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGPIPE"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(3):
            os.close(number)
        time.sleep(60)
        os._exit(0)
    os._exit(0)
os.wait()
if "stay" in sys.argv:
    time.sleep(60)
"""


def tagged(tag: str) -> list[int]:
    """Return the processes of this machine that have a word in their command line."""
    found = []
    for number in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if number.isdigit() and tag.encode() in Path(f"/proc/{number}/cmdline").read_bytes():
                found.append(int(number))
    return found


def bubbles() -> set[int]:
    """Return this process's children that are bubblewrap."""
    return {pid for pid in tagged("bwrap") if f"PPid:\t{os.getpid()}\n" in _status(pid)}


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


async def until(holds: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds, looking often; fail when it does not in time."""
    for _ in range(int(seconds * 50)):
        if holds():
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"did not come true within {seconds} s")


async def test_a_daemon_that_a_program_leaves_behind_is_gone(confined) -> None:
    """It forked twice, left session and parent, closed its output and ignores signals. Outside it lives on."""
    (confined.tree / "survive.py").write_text(SURVIVE)
    tag = f"tag-{time.monotonic_ns()}"
    plain = PlainProcess(SystemClock())
    control = await plain.run(
        (PYTHON, "-I", str(confined.tree / "survive.py"), tag), confined.tree, SandboxLimits(wall_s=10)
    )
    left = tagged(tag)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert control.succeeded and len(left) == 1

    for words, killed in (((), False), (("stay",), True)):
        tag = f"tag-{time.monotonic_ns()}"
        result = await confined.run(PYTHON, "-I", "/work/survive.py", tag, *words, wall_s=1 if killed else 30)
        assert tagged(tag) == []
        assert result.timed_out == killed


async def test_a_program_has_a_session_of_its_own(confined) -> None:
    """No terminal of the night's is its own, and a signal to its whole group reaches nobody who watches it."""
    ask = "import os; print(os.getsid(0), flush=True)"
    shared = ("bwrap", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", PYTHON, "-I", "-c", ask)
    control = await asyncio.to_thread(subprocess.run, shared, capture_output=True, check=True)
    assert control.stdout == b"0\n", "a session that began outside has no number in there"

    result = await confined.run(PYTHON, "-I", "-c", f"{ask}; os.kill(0, {int(signal.SIGKILL)})", wall_s=30)
    assert result.stdout == b"1\n"
    assert result.killed is None and not result.succeeded


async def test_a_cancelled_run_leaves_nothing(
    confined_trees: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """At whatever moment of the start or the run it comes: no process, no descriptor, no ``.git`` of ours."""
    confined = confined_trees(open_bubblewrap(SystemClock()), 0)
    (confined.tree / "survive.py").write_text(SURVIVE)
    await confined.run("/usr/bin/true")
    descriptors = len(os.listdir("/proc/self/fd"))
    for after_s in (0.0, *(number / 2000 for number in range(1, 40)), 0.05, 0.2):
        tag = f"tag-{time.monotonic_ns()}"
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(after_s):
                await confined.run(PYTHON, "-I", "/work/survive.py", tag, "stay", wall_s=50)
        assert time.monotonic() - started < 20, after_s
        assert tagged(tag) == [] and bubbles() == set(), after_s
        assert not (confined.tree / ".git").exists(), after_s
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert caplog.records == []


async def test_a_run_that_is_cancelled_twice_leaves_nothing(confined_trees: Callable[..., Any]) -> None:
    """An impatient second cancellation does not cut the burial short."""
    confined = confined_trees(open_bubblewrap(SystemClock()), 0)
    (confined.tree / "survive.py").write_text(SURVIVE)
    tag = f"tag-{time.monotonic_ns()}"
    async with asyncio.TaskGroup() as group:
        run = group.create_task(
            confined.run(PYTHON, "-I", "/work/survive.py", tag, "stay", wall_s=30), name="run"
        )
        await asyncio.sleep(0.2)
        for _ in range(5):
            run.cancel()
            await asyncio.sleep(0)
    assert run.cancelled()
    assert tagged(tag) == [] and not (confined.tree / ".git").exists()


async def test_what_a_killed_daemon_was_running_dies_with_it(
    confined_trees: Callable[..., Any],
) -> None:
    """``kill -9`` of the caller takes the sandbox with it."""
    user = 60_321
    sandbox = await SandboxAs.start(user)
    confined = confined_trees(sandbox, user)
    (confined.tree / "survive.py").write_text(SURVIVE)
    tag = f"tag-{time.monotonic_ns()}"
    async with asyncio.TaskGroup() as group:
        run = group.create_task(_ignore(confined, tag), name="run")
        await until(lambda: len(tagged(tag)) >= 4, 10)
        sandbox.process.kill()
        await run
    await sandbox.aclose()
    await until(lambda: not tagged(tag), 10)


async def _ignore(confined, tag: str) -> None:
    with contextlib.suppress(Exception):
        await confined.run(PYTHON, "-I", "/work/survive.py", tag, "stay", wall_s=30)


async def test_many_at_once_are_apart(confined_trees: Callable[..., Any]) -> None:
    """Each has its own user id as root's, its own processes and its own count of them."""
    sandbox = open_bubblewrap(SystemClock())
    trees = [confined_trees(sandbox, 0) for _ in range(6)]
    look = "id -u; ls -d /proc/[0-9]* | wc -l; for i in 1 2 3 4 5 6; do sleep 0.3 & done; wait; echo done"
    async with asyncio.TaskGroup() as group:
        runs = [
            group.create_task(tree.run("/bin/sh", "-c", look, processes=12), name=f"run {number}")
            for number, tree in enumerate(trees)
        ]
    said = [run.result().stdout.decode().split() for run in runs]
    assert len({words[0] for words in said}) == 6
    assert [words[2:] for words in said] == [["done"]] * 6
    assert max(int(words[1]) for words in said) <= 6


CONTAINED = """
import asyncio, sys
from pathlib import Path
from pantheon.adapters.containment.enter import enter_namespace
enter_namespace(network=True)
from pantheon.adapters.containment.seal import seal_process
import os
os.execve(sys.executable, [sys.executable, "-c", sys.argv[2], sys.argv[1]], dict(os.environ))
"""
INSIDE = """
import asyncio
from pantheon.adapters.containment.seal import seal_process
seal_process()
from pantheon.adapters.clock import SystemClock
from pantheon.core.policy import NightPolicy
from pantheon.shell.sandbox_wiring import open_sandbox
print(asyncio.run(open_sandbox(NightPolicy(), SystemClock()))[1].version)
"""


@pytest.mark.primitive("userns")
def test_the_sandbox_holds_inside_a_contained_and_sealed_night() -> None:
    """A night's own namespaces and its own filter do not take from the sandbox what it is made of."""
    done = subprocess.run(
        [sys.executable, "-c", CONTAINED, "x", INSIDE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0 and done.stdout.startswith("bubblewrap"), done
