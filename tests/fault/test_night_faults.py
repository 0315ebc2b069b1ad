"""A whole night under attack from outside: stale locks, lost folders, a full disk, a jumping clock, a stolen lease."""

import asyncio
import errno
import os
import shutil
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters import artifacts
from pantheon.adapters.clock import SystemClock
from pantheon.core.errors import PantheonError, StoreError
from pantheon.engine.night import Progress
from pantheon.testing import night as testing_night
from pantheon.testing.chaos_check import check_night, fingerprint
from pantheon.testing.chaos_night import BRANCH, NIGHT, ChaosNight
from pantheon.testing.night import Bench


@pytest.fixture
def night(tmp_path: Path) -> ChaosNight:
    night = ChaosNight(tmp_path, notes=2)
    night.make()
    return night


@pytest.fixture
def before(night: ChaosNight) -> Mapping[str, str]:
    return fingerprint(night.root)


async def accepted(night: ChaosNight, before: Mapping[str, str]) -> None:
    """Hold a night to its invariants and to having accepted everything."""
    found = await check_night(night, before)
    assert found.problems == ()
    assert found.outcomes == {"accepted": night.notes}


STALE = {
    "the night's branch": f"user/.git/refs/heads/{BRANCH}.lock",
    "the night's own configuration": "night/state/git/config.lock",
    "the night's own HEAD": "night/state/git/HEAD.lock",
    "the ref of a work tree": "night/state/git/refs/pantheon/trees/00.lock",
    "the index of a work tree": "night/state/trees/00.index.lock",
    "packed refs": "night/state/git/packed-refs.lock",
}


@pytest.mark.parametrize("place", STALE.values(), ids=STALE.keys())
async def test_a_lock_that_a_killed_git_left(
    night: ChaosNight, before: Mapping[str, str], place: str
) -> None:
    """Killed with all its children, a night leaves lock files of git; the next one ends all the same."""

    def stop(_: Bench) -> None:
        raise StoreError("opened, and nothing more")

    with pytest.raises(StoreError):
        await night.run(stop)
    lock = night.folder / place
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_bytes(b"")
    await night.run()
    await accepted(night, before)


class Trigger(list[Progress]):
    """The steps of a night; does something when a node starts for the first time."""

    def __init__(self, node: str, act: Callable[[], None]) -> None:
        super().__init__()
        self._node = node
        self._act: Callable[[], None] | None = act

    def append(self, step: Progress) -> None:
        super().append(step)
        if self._act is not None and step.event == "started" and step.node == self._node:
            act, self._act = self._act, None
            act()


def at(node: str, act: Callable[[Bench], None]) -> Callable[[Bench], None]:
    """Break something of a running night when a node starts."""

    def on_bench(bench: Bench) -> None:
        bench.steps = Trigger(node, lambda: act(bench))

    return on_bench


async def run_to_its_end(night: ChaosNight, on_bench: Callable[[Bench], None]) -> int:
    """Run a night with a fault and then again without; returns how many runs ended with a deliberate error."""
    errors = 0
    for one in (on_bench, *[lambda _: None] * 3):
        try:
            if await night.run(one) is None:
                break
        except* PantheonError:
            errors += 1
    return errors


NODES = ["plan.validate", "doc.frontmatter", "merge"]


@pytest.mark.parametrize("node", NODES)
async def test_artifacts_deleted_under_a_running_night(
    night: ChaosNight, before: Mapping[str, str], node: str
) -> None:
    """What is running fails by name, nothing lands twice or without its verdicts, and the same command ends the night.

    Whoever verifies it is told that a part of the ledger is gone.
    """
    await run_to_its_end(
        night, at(node, lambda _: shutil.rmtree(night.own / "artifacts", ignore_errors=True))
    )
    found = await check_night(night, before)
    assert (found.lost, found.repeated, found.touched) == ((), (), ())
    assert sum(found.outcomes.values()) == 2
    assert set(found.outcomes) <= ({"accepted", "denied"} if node == "merge" else {"accepted"})
    assert any("are gone" in one for one in found.unverifiable)


@pytest.mark.parametrize("full_from", [0, 1, 40, 200])
async def test_the_disk_of_the_artifacts_is_full(
    night: ChaosNight, before: Mapping[str, str], full_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk ends the night with an error that says so; with room again, the same command ends it well."""
    disk = FullDisk(full_from)
    with monkeypatch.context() as patched:
        patched.setattr(artifacts, "os", disk)
        with pytest.raises((PantheonError, ExceptionGroup)) as caught:
            await night.run()
    assert "No space left on device" in "".join(traceback.format_exception(caught.value))
    await night.run()
    found = await check_night(night, before)
    assert (found.lost, found.repeated, found.touched, found.torn) == ((), (), (), ())
    assert found.outcomes == {"accepted": 2}


class FullDisk:
    """The module ``os`` on a disk that has room for so many files and lines more."""

    def __init__(self, room: int) -> None:
        self._room = room

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            self._room -= 1
            if self._room < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return os.open(path, flags, mode)


class JumpyClock(SystemClock):
    """A clock that somebody sets while the night runs."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + type(self).ahead


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("days", [1, -1])
async def test_the_clock_jumps(
    night: ChaosNight, before: Mapping[str, str], node: str, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is set forwards or back neither ends an attempt nor repeats one."""
    monkeypatch.setattr(testing_night, "SystemClock", JumpyClock)
    monkeypatch.setattr(JumpyClock, "ahead", timedelta())
    assert (
        await run_to_its_end(
            night, at(node, lambda _: monkeypatch.setattr(JumpyClock, "ahead", timedelta(days=days)))
        )
        == 0
    )
    await accepted(night, before)


@pytest.mark.parametrize("node", NODES)
async def test_a_lease_that_a_jump_of_the_clock_ended(
    night: ChaosNight, before: Mapping[str, str], node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swept after a jump forwards, an attempt cannot settle any more: only its successor counts."""
    monkeypatch.setattr(testing_night, "SystemClock", JumpyClock)
    monkeypatch.setattr(JumpyClock, "ahead", timedelta())
    await run_to_its_end(night, at(node, lambda bench: _jump_and_sweep(bench, monkeypatch)))
    await accepted(night, before)


def _jump_and_sweep(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def sweep() -> None:
        # Until the attempt that starts has claimed its lease.
        await asyncio.sleep(0.05)
        monkeypatch.setattr(JumpyClock, "ahead", timedelta(days=1))
        await bench.store.sweep(NIGHT)

    keep.append(asyncio.get_running_loop().create_task(sweep(), name="sweep"))


keep: list["asyncio.Task[None]"] = []
"""Tasks that nobody else refers to."""


@pytest.mark.parametrize("delay_s", [0.0, 0.03])
@pytest.mark.parametrize("node", NODES)
async def test_a_stolen_lease(
    night: ChaosNight, before: Mapping[str, str], node: str, delay_s: float
) -> None:
    """A lease taken away in the middle of an attempt: its result is dropped, its successor's counts, once."""

    async def steal(bench: Bench) -> None:
        await asyncio.sleep(delay_s)
        await bench.store.sweep(NIGHT, expired_only=False)

    await run_to_its_end(
        night, at(node, lambda bench: keep.append(asyncio.get_running_loop().create_task(steal(bench))))
    )
    await accepted(night, before)


async def test_a_second_night_is_refused(night: ChaosNight, before: Mapping[str, str]) -> None:
    """While one process runs a night over a store, another one is refused by name, and disturbs nothing."""
    second: list[asyncio.Task[Any]] = []

    def start(_: Bench) -> None:
        second.append(asyncio.get_running_loop().create_task(night.run(), name="second night"))

    assert await run_to_its_end(night, at("doc.frontmatter", start)) == 0
    with pytest.raises(StoreError, match=rf"a night runs already .* process {os.getpid()} "):
        await second[0]
    await accepted(night, before)
