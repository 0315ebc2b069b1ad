"""What holds an attempt together: work that no cancellation cuts in two, and leases that are renewed or lost."""

import asyncio
from datetime import UTC, datetime

import pytest

from pantheon.core.errors import LeaseLostError
from pantheon.core.records import Lease
from pantheon.engine.lease_keeper import LeaseKeeper
from pantheon.engine.to_end import take_back_cancellation, to_end
from pantheon.testing.clock import FakeClock


class StepClock(FakeClock):
    """A clock whose sleepers wait until the test lets time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []
        self._passed = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._passed.acquire()

    async def wake_sleeper(self) -> None:
        """Let the sleeper's time be over, and let it do what it woke for."""
        self._passed.release()
        for _ in range(10):
            await asyncio.sleep(0)


async def test_work_ends_whatever_cancellations_arrive() -> None:
    """Cancelled twice, the work is done all the same, and the caller hears that it was cancelled."""
    done: list[str] = []
    seen: list[tuple[str, bool]] = []

    async def work() -> str:
        await asyncio.sleep(0.01)
        done.append("first")
        await asyncio.sleep(0.01)
        done.append("second")
        return "result"

    async def caller() -> None:
        seen.append(await to_end(work()))
        take_back_cancellation()

    async with asyncio.TaskGroup() as group:
        running = group.create_task(caller(), name="caller")
        for _ in range(2):
            await asyncio.sleep(0.002)
            running.cancel()
    assert done == ["first", "second"]
    assert seen == [("result", True)]


async def test_errors_of_the_work_reach_the_caller() -> None:
    """What the work raises is raised, and without a cancellation nothing says that there was one."""

    async def work(value: int) -> int:
        await asyncio.sleep(0)
        return 10 // value

    assert await to_end(work(5)) == (2, False)
    with pytest.raises(ZeroDivisionError):
        await to_end(work(0))


class Leases:
    """Renews everything but what was lost."""

    def __init__(self) -> None:
        self.renewed: list[str] = []
        self.lost: set[str] = set()

    async def renew(self, lease: Lease, *, lease_s: float) -> Lease:
        if lease.node in self.lost:
            raise LeaseLostError(f"lost {lease.node}")
        self.renewed.append(lease.node)
        return lease


def lease(node: str) -> Lease:
    return Lease(
        night="n", node=node, attempt=1, token=1, owner="o", expires_at=datetime(2026, 1, 1, tzinfo=UTC)
    )


async def test_leases_are_renewed_while_their_work_runs() -> None:
    """Every third of a lease's length each held lease is renewed, and none that was let go."""
    store, clock = Leases(), StepClock()
    keeper = LeaseKeeper(store, clock, 30.0)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        beat = group.create_task(keeper.run(), name="heartbeat")
        with keeper.hold(lease("a")):
            with keeper.hold(lease("b")):
                await clock.wake_sleeper()
            await clock.wake_sleeper()
        await clock.wake_sleeper()
        beat.cancel()
    assert sorted(store.renewed) == ["a", "a", "b"]
    assert set(clock.asked) == {10.0}


async def test_a_lost_lease_ends_only_its_own_work() -> None:
    """The work is cancelled with the reason at hand; others go on."""
    store, clock = Leases(), StepClock()
    keeper = LeaseKeeper(store, clock, 30.0)  # type: ignore[arg-type]
    store.lost.add("b")
    ended: dict[str, object] = {}
    beaten = asyncio.Event()

    async def work(node: str) -> None:
        with keeper.hold(lease(node)) as held:
            try:
                await beaten.wait()
                ended[node] = "done"
            except asyncio.CancelledError:
                ended[node] = held.lost
                take_back_cancellation()

    async with asyncio.TaskGroup() as group:
        beat = group.create_task(keeper.run(), name="heartbeat")
        works = [group.create_task(work(node), name=node) for node in ("a", "b")]
        await asyncio.sleep(0)
        await clock.wake_sleeper()
        beaten.set()
        await asyncio.wait(works)
        beat.cancel()
    assert ended["a"] == "done"
    assert isinstance(ended["b"], LeaseLostError)
