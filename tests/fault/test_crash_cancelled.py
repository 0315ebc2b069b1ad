"""A whole small night is cancelled at the k-th step of its loop, for many k, and gone on with each time."""

import asyncio
import random
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.store import open_store
from pantheon.testing.chaos_check import check_night, fingerprint
from pantheon.testing.chaos_night import NIGHT, ChaosNight

HANGS_S = 60


class Steps:
    """Counts every step of every ``asyncio.Task`` of a loop and cancels one of them at a given count.

    Args:
        at: the step at which ``victim`` is cancelled; 0 never.
    """

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.count = 0
        self.victim: asyncio.Task[Any] | None = None

    def make(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **more: Any
    ) -> asyncio.Task[Any]:
        """Return a task that is counted; a loop's task factory."""
        return asyncio.Task(self._count(work), loop=loop, **more)

    async def _count(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await _Counted(self, work)

    def tick(self) -> None:
        self.count += 1
        if self.count == self.at and self.victim is not None:
            self.victim.cancel()


class _Counted:
    def __init__(self, steps: Steps, work: Coroutine[Any, Any, Any]) -> None:
        self._steps = steps
        self._work = work

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            waited = self._work.send(None)
            while True:
                try:
                    sent = yield waited
                except BaseException as error:  # noqa: BLE001 (handed on to the work, whatever it is)
                    waited = self._work.throw(error)
                else:
                    waited = self._work.send(sent)
                self._steps.tick()
        except StopIteration as end:
            return end.value


def run_cancelled(night: ChaosNight, at: int) -> tuple[bool, int]:
    """Run a night that is cancelled at one step; returns whether it came to its end, and the steps it took."""
    steps = Steps(at)

    async def main() -> bool:
        asyncio.get_running_loop().set_task_factory(steps.make)
        steps.victim = asyncio.get_running_loop().create_task(night.run(), name="night")
        async with asyncio.timeout(HANGS_S):
            done, _ = await asyncio.wait([steps.victim])
        task = done.pop()
        if task.cancelled():
            return False
        task.result()
        return True

    ended = asyncio.run(main())
    return ended, steps.count


async def left_running(night: ChaosNight) -> list[str]:
    """Return the attempts that the store believes to be running."""
    if not night.database.exists():
        return []
    store = await open_store(night.database, SystemClock(), write=False)
    try:
        return [one.node for one in await store.attempts(NIGHT) if one.result is None]
    finally:
        await store.aclose()


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
    places = []
    for _ in range(8):
        places.append(chance.randrange(1, max(left, 50)))
        ended, _ = run_cancelled(night, places[-1])
        if ended:
            break
        assert asyncio.run(left_running(night)) == [], places
        left = max(left - places[-1], steps // 8)
    run_cancelled(night, 0)
    found = asyncio.run(check_night(night, before))
    assert found.problems == (), places
    assert found.outcomes == {"accepted": 1}
    assert len(places) > 1
