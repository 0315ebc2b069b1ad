"""A program in a sandbox whose run is cancelled at an exact step."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.sandbox import process as runs
from pantheon.adapters.sandbox.bubblewrap import Bubblewrap, BubblewrapSandbox
from pantheon.adapters.sandbox.capture import FloodError
from pantheon.adapters.sandbox.plain import PlainProcess
from pantheon.adapters.sandbox.process import Launch, run_process
from pantheon.adapters.sandbox.seccomp import FilterPrograms
from pantheon.core.bubblewrap import IDS_PER_PROCESS
from pantheon.core.errors import SandboxError
from pantheon.core.sandbox import SandboxLimits
from pantheon.testing.clock import FakeClock
from pantheon.testing.steps import Steps

MANY_STEPS = 50


@pytest.mark.parametrize("late", [False, True])
async def test_a_program_that_cannot_be_started_does_not_hide_a_cancellation(
    tmp_path: Path, late: bool
) -> None:
    """Who called it off is not told that it failed: for that answer it would be tried again."""
    launch = Launch(("/nowhere/at/all",), lambda *_: None, {}, tmp_path)
    for at in range(1, MANY_STEPS):
        steps = Steps(at, late=late)
        task = steps.start(run_process(launch, SandboxLimits(), FakeClock()), name="run")
        await asyncio.wait([task])
        if steps.count < at:
            assert isinstance(task.exception(), SandboxError)
            return
        assert task.cancelled() or (steps.count == at and task.exception() is not None)
    pytest.fail("the run never came to its end")


class Program:
    """A process that ends when it is buried."""

    pid = 1

    def __init__(self) -> None:
        self.buried = asyncio.Event()

    async def wait(self) -> int:
        await self.buried.wait()
        return 0


class Flood:
    """Output that becomes too much when the program is buried."""

    def __init__(self, program: Program) -> None:
        self._program = program

    async def drain(self) -> None:
        await self._program.buried.wait()
        raise FloodError


@pytest.mark.parametrize("late", [False, True])
async def test_a_flood_does_not_hide_a_cancellation(tmp_path: Path, late: bool) -> None:
    """A run that is called off is called off, also where its program is found out in the same moment."""
    loop = asyncio.get_running_loop()
    # Before it waits for the first time nobody but itself could cancel it.
    for at in range(1 if late else 2, MANY_STEPS):
        program: Any = Program()
        output: Any = Flood(program)

        def bury(_pid: int, _pidfd: int | None, program: Program = program) -> None:
            loop.call_soon_threadsafe(program.buried.set)

        launch = Launch(("any",), bury, {}, tmp_path)
        steps = Steps(at, late=late)
        limits = SandboxLimits(wall_s=0.01)
        task = steps.start(runs._watch(program, launch, limits, (output,)), name="watch")
        await asyncio.wait([task])
        if steps.count < at:
            assert at > 2
            return
        assert task.cancelled() or steps.count == at
    pytest.fail("the run never came to its end")


@pytest.mark.parametrize("late", [False, True])
async def test_a_cancelled_run_leaves_nothing_of_its_program(tmp_path: Path, late: bool) -> None:
    """Cancelled at any step: the program is gone, and no pipe of it is open."""
    gone = len(os.listdir("/proc/self/fd"))
    for at in range(1, MANY_STEPS):
        steps = Steps(at, late=late)
        sandbox = PlainProcess(FakeClock())
        run = sandbox.run(("/bin/sleep", "0.01"), tmp_path, SandboxLimits(wall_s=5))
        task = steps.start(run, name="run")
        async with asyncio.timeout(10):
            await asyncio.wait([task])
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)  # noqa: ASYNC222 - it does not wait
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) <= gone + 2, "the pipes of those before are closed by now"
        if steps.count < at:
            assert at > 5, "start, output and end are waited for"
            return
    pytest.fail("the run never came to its end")


@pytest.mark.parametrize("late", [False, True])
async def test_a_cancelled_run_gives_back_its_tree_and_its_user(
    tmp_path: Path, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled at any step: nothing that was made for the run stays in the tree, and its ids are free."""
    found, filters = Bubblewrap("/nowhere", "1", True), FilterPrograms(b"", b"")

    async def run(*_: Any) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(BubblewrapSandbox, "_run", run)
    sandbox = BubblewrapSandbox(found, filters, FakeClock())
    tree = tmp_path / "tree"
    tree.mkdir()
    for at in range(1, MANY_STEPS):
        steps = Steps(at, late=late)
        task = steps.start(sandbox.run(("true",), tree, SandboxLimits()), name="run")
        await asyncio.wait([task])
        assert os.listdir(tree) == []
        assert sorted(sandbox._slots) == list(range(IDS_PER_PROCESS))
        if steps.count < at:
            assert at > 3, "the tree is waited for twice"
            return
    pytest.fail("the run never came to its end")
