"""What a thread got for somebody who was cancelled at an exact step: given back, for nobody else ever heard of it."""

# ruff: noqa: ASYNC240 - nothing else runs on a test's loop

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.finishing import take
from pantheon.adapters.git import history
from pantheon.adapters.ledger_file import LedgerFolder
from pantheon.adapters.sandbox.probe import prove_sandbox
from pantheon.adapters.served_process import start_process
from pantheon.adapters.signer_child import signer_child
from pantheon.adapters.threads import take_in_thread
from pantheon.core.errors import PantheonError, SandboxError
from pantheon.testing.clock import FakeClock
from pantheon.testing.steps import Steps

MANY_STEPS = 60


async def open_ledger(folder: Path) -> None:
    opened = await LedgerFolder(folder).open_night("n1", lambda _: True)
    await opened.file.aclose()


async def start_server(folder: Path) -> None:
    process = await start_process(["/bin/true"], {}, {}, folder / "server.log")
    await process.wait()


async def start_signer(folder: Path) -> None:
    async with signer_child(
        folder, outside=folder, log=folder / "signer.log", environment={"TMPDIR": "/tmp"}, clock=FakeClock()
    ):
        """Never reached."""


async def open_day(folder: Path) -> None:
    async with history.open_history(folder, folder, FakeClock()):
        """Nothing is asked of it."""


class Broken:
    """A sandbox that cannot be made."""

    async def run(self, *_: Any) -> None:
        raise SandboxError("no")


async def prove(_: Path) -> None:
    sandbox: Any = Broken()
    await prove_sandbox(sandbox)


def descriptors() -> set[str]:
    """Files that are open; pipes and sockets belong to processes, and go with them."""
    found = (f"/proc/self/fd/{one}" for one in os.listdir("/proc/self/fd"))
    return {where for one in found if os.path.lexists(one) and (where := os.readlink(one)).startswith("/")}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("get", [open_ledger, start_server, start_signer, open_day, prove])
async def test_nothing_is_left_open_or_behind(
    get: Callable[[Path], Coroutine[Any, Any, None]],
    late: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever it is cancelled: no file stays open, and no folder that was made for it stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # A signer that ends at once, without a word.
    monkeypatch.setattr(sys, "executable", "/bin/true")
    monkeypatch.setattr(history, "GitRunner", lambda _: Git())
    monkeypatch.setattr(history, "open_own", Git.open)
    before = descriptors()
    for at in range(1, MANY_STEPS):
        steps = Steps(at, late=late)
        task = steps.start(get(tmp_path), name="get")
        async with asyncio.timeout(30):
            await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            assert isinstance(error, PantheonError)
        assert {one for one in descriptors() - before if str(tmp_path) in one} == set()
        assert not [one for one in tmp_path.iterdir() if one.name.startswith(("day-", "pantheon-"))]
        if steps.count < at:
            return
    pytest.fail("it never came to its end")


class Git:
    """As much of git as opening a day asks for."""

    async def text(self, *_: str) -> str:
        return "/nowhere"

    @staticmethod
    async def open(*_: Any, **__: Any) -> None:
        await asyncio.sleep(0)


async def refuse(_: object) -> None:
    raise SandboxError("it does not die")


def refuse_in_thread(_: object) -> None:
    raise OSError("it cannot be closed")


async def get() -> str:
    await asyncio.sleep(0)
    return "got"


@pytest.mark.parametrize(
    "work",
    [lambda: take(get(), refuse, name="take"), lambda: take_in_thread(lambda: "got", refuse_in_thread)],
    ids=["on the loop", "in a thread"],
)
async def test_a_cancellation_stays_one_where_giving_back_fails(work: Callable[[], Any]) -> None:
    """Who called it off does not hear of a failure instead, and try again; the failure is named as the cause."""
    for at in range(1, MANY_STEPS):
        task = Steps(at, late=True).start(work(), name="get")
        await asyncio.wait([task])
        if not task.cancelled():
            assert task.result() == "got"
            assert at > 1, "it is waited for"
            return
    pytest.fail("it never came to its end")
