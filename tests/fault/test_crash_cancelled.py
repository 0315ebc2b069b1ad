"""A whole small night is cancelled at the k-th step of its loop, for many k, and gone on with each time."""

import asyncio
import hashlib
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters import artifacts
from pantheon.adapters.artifacts import ArtifactFolder
from pantheon.testing.chaos_check import check_night, fingerprint, running_attempts
from pantheon.testing.chaos_night import ChaosNight
from pantheon.testing.steps import Steps

HANGS_S = 60


def run_cancelled(night: ChaosNight, at: int, *, late: bool = False) -> tuple[bool, int]:
    """Run a night that is cancelled at one step; returns whether it came to its end, and the steps it took."""
    steps = Steps(at, late=late)

    async def main() -> bool:
        asyncio.get_running_loop().set_task_factory(steps.make)
        task = steps.start(night.run(), name="night")
        async with asyncio.timeout(HANGS_S):
            await asyncio.wait([task])
        if task.cancelled():
            return False
        task.result()
        return True

    ended = asyncio.run(main())
    return ended, steps.count


@pytest.mark.parametrize("seed", range(4))
def test_cancelled_at_any_step(seed: int, tmp_path: Path) -> None:
    """Cancelled anywhere, a night ends at once with nothing left running; resumed, it ends well."""
    calm = ChaosNight(tmp_path / "calm", notes=1)
    calm.make()
    _, steps = run_cancelled(calm, 0)
    chance = random.Random(seed)
    night = ChaosNight(tmp_path / "night", notes=1)
    night.make()
    before = fingerprint(night.root)
    left = steps
    late = bool(seed % 2)
    places = []
    for _ in range(8):
        places.append(chance.randrange(1, max(left, 50)))
        ended, _ = run_cancelled(night, places[-1], late=late)
        if ended:
            break
        assert running_attempts(night) == set(), places
        left = max(left - places[-1], steps // 8)
    run_cancelled(night, 0)
    found = asyncio.run(check_night(night, before))
    assert found.problems == (), places
    assert found.outcomes == {"accepted": 1}
    # What a step waits for may come only with the night's own end, and a late cancellation with it.
    assert late or len(places) > 1


class SlowDisk:
    """The module ``os`` on a disk that opens a file only when it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.ready = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            self.asked.set()
            self.ready.wait(10)
        return os.open(path, flags, mode)


@pytest.mark.parametrize("write", ["put", "append"])
async def test_cancelled_in_the_middle_of_an_artifact(
    write: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a cancelled write has left on disk is sealed with the rest: nothing unsigned lies beside it."""
    disk = SlowDisk()
    sink = await ArtifactFolder(tmp_path).open_attempt("n1", "b/t", "node", 1)
    monkeypatch.setattr(artifacts, "os", disk)
    writing = asyncio.get_running_loop().create_task(getattr(sink, write)("stdout.log", b"a line\n"))
    await asyncio.to_thread(disk.asked.wait, 10)
    writing.cancel()
    asyncio.get_running_loop().call_later(0.05, disk.ready.set)
    await asyncio.wait([writing])
    # Long enough for a thread that was left at work.
    await asyncio.sleep(0.2)
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (tmp_path / sink.folder).iterdir()
    }
    await sink.seal()
    assert dict(sink.digests()) == found
