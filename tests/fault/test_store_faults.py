"""The store under attack: killed, cancelled, full, locked, robbed of its leases."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from pantheon.adapters.store import SqliteStore, open_store, opening
from pantheon.core.errors import LeaseLostError, StoreError, TransitionError
from pantheon.core.records import NodeState
from pantheon.testing.clock import FakeClock
from pantheon.testing.store_contract import DONE, NIGHT, begin, node_of

WORKER = """
import asyncio, sys
from pathlib import Path
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.store import open_store
from pantheon.testing.store_contract import DONE, NIGHT

async def work():
    store = await open_store(Path(sys.argv[1]), SystemClock())
    keys = iter([node.key for node in await store.nodes(NIGHT)])

    async def one_after_the_other():
        for key in keys:
            lease = await store.claim(NIGHT, key, owner="worker", lease_s=3600)
            await store.settle(lease, DONE)
            print(key, flush=True)

    async with asyncio.TaskGroup() as group:
        for place in range(8):
            group.create_task(one_after_the_other(), name=f"worker {place}")

asyncio.run(work())
"""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.mark.parametrize("acknowledged", [1, 40, 150])
async def test_kill_loses_nothing_that_was_acknowledged(
    path: Path, clock: FakeClock, acknowledged: int
) -> None:
    """After kill -9 every acknowledged end is there; what ran is made ready again; nothing is torn."""
    store = await open_store(path, clock)
    await begin(store, clock, *(node_of(f"n{place}", NodeState.READY) for place in range(5_000)))
    await store.aclose()

    def run_and_kill() -> list[str]:
        with subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path)], stdout=subprocess.PIPE, text=True
        ) as worker:
            assert worker.stdout is not None
            lines = [worker.stdout.readline().strip() for _ in range(acknowledged)]
            worker.send_signal(signal.SIGKILL)
            # The last line may be torn; it counts only when its end was written.
            rest = worker.stdout.read()
            return [*lines, *rest.split("\n")[:-1]]

    done = await asyncio.to_thread(run_and_kill)
    assert len(done) >= acknowledged
    store = await open_store(path, clock)
    await store.check()
    before = {node.key: node.state for node in await store.nodes(NIGHT)}
    assert {before[key] for key in done} == {NodeState.SUCCEEDED}
    running = {key for key, state in before.items() if state is NodeState.RUNNING}
    assert len(running) <= 8
    assert set(await store.sweep(NIGHT, expired_only=False)) == running
    for key in running:
        lease = await store.claim(NIGHT, key, owner="next", lease_s=60)
        assert lease.attempt == 2
        await store.settle(lease, DONE)
    events = await store.events(NIGHT, limit=100_000)
    assert [event.seq for event in events] == list(range(2, len(events) + 2))
    await store.aclose()


async def test_a_full_disk_fails_whole_groups(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a group does not fit, every caller hears of it and nothing of it stays; small writes go on."""
    await (await open_store(path, clock)).aclose()
    monkeypatch.setattr(opening, "DURABLE", (*opening.DURABLE, "PRAGMA max_page_count = 40"))
    store = await open_store(path, clock)
    await begin(store, clock, node_of("n"))
    before = await store.events(NIGHT)
    failed: list[StoreError] = []

    async def note(details: dict[str, str]) -> None:
        try:
            await store.add_event(NIGHT, "n", "note", details)
        except StoreError as error:
            failed.append(error)

    async with asyncio.TaskGroup() as group:
        for place in range(5):
            group.create_task(note({}), name=f"small {place}")
        group.create_task(note({"x": "x" * 400_000}), name="large")
    assert len(failed) == 6
    assert all("disk is full" in str(error) and error.details["path"] == str(path) for error in failed)
    assert await store.events(NIGHT) == before
    await store.make_ready(NIGHT, ["n"])
    await store.aclose()


async def test_a_lock_of_another_process_is_waited_for_then_named(path: Path, clock: FakeClock) -> None:
    """A write waits for its time-out, fails whole, and works once the lock is gone; reads never wait."""
    store = await open_store(path, clock, busy_timeout_s=0.05)
    await begin(store, clock, node_of("n"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another process"):
            await store.make_ready(NIGHT, ["n"])
        assert (await store.nodes(NIGHT))[0].state is NodeState.WAITING
        other.execute("ROLLBACK")
    await store.make_ready(NIGHT, ["n"])
    await store.aclose()


async def test_a_cancelled_caller_leaves_all_or_nothing(path: Path, clock: FakeClock) -> None:
    """Cancelled at any await, a write is there whole or not at all, and the writer lives on."""
    store = await open_store(path, clock)
    keys = [f"n{place}" for place in range(3)]
    await begin(store, clock, *(node_of(f"{turn}{key}") for turn in range(12) for key in keys))
    for turn in range(12):
        mine = [f"{turn}{key}" for key in keys]
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(store.make_ready(NIGHT, mine), name=f"write {turn}")
            await asyncio.sleep((turn - 4) / 2_000 if turn > 4 else 0)
            writing.cancel()
        await store.add_event(NIGHT, "store", "barrier")
        states = {node.state for node in await store.nodes(NIGHT) if node.key in mine}
        assert len(states) == 1
    await store.aclose()


async def test_closing_finishes_what_was_accepted(path: Path, clock: FakeClock) -> None:
    """Writes that were on their way when the store closed are durable; later ones are refused."""
    store = await open_store(path, clock)
    await begin(store, clock)
    written: list[int] = []
    refused: list[int] = []

    async def note(place: int) -> None:
        try:
            await store.add_event(NIGHT, "n", "note", {"place": place})
            written.append(place)
        except StoreError:
            refused.append(place)

    async with asyncio.TaskGroup() as group:
        for place in range(20):
            group.create_task(note(place), name=f"note {place}")
        await asyncio.sleep(0)
        group.create_task(store.aclose(), name="close")
        group.create_task(note(99), name="late")
    assert (len(written), refused) == (20, [99])
    looking = await open_store(path, clock, write=False)
    notes = [event for event in await looking.events(NIGHT) if event.name == "note"]
    assert sorted(event.details["place"] for event in notes) == sorted(written)
    await looking.aclose()


async def test_a_bug_in_a_write_stops_the_store_instead_of_hanging_it(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody foresaw leaves nothing written; every caller hears, and so does who closes."""
    store = await open_store(path, clock)
    await begin(store, clock)

    def broken(*args: object, **more: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr("pantheon.adapters.store.commands.make_ready", broken)
    with pytest.raises(StoreError, match="closed"):
        await store.make_ready(NIGHT, ["n"])
    with pytest.raises(StoreError, match="closed"):
        await store.add_event(NIGHT, "n", "note")
    with pytest.raises(LookupError):
        await store.aclose()


async def test_a_clock_that_jumps_costs_at_most_an_attempt(path: Path, clock: FakeClock) -> None:
    """Forward: the lease runs out, the node is tried again, the old owner is refused. Back: nothing is swept early."""
    store = await open_store(path, clock)
    await begin(store, clock, node_of("n"), node_of("m"))
    lease = await store.claim(NIGHT, "n", owner="me", lease_s=60)
    clock.advance(86_400)
    assert await store.sweep(NIGHT) == ("n",)
    with pytest.raises(LeaseLostError):
        await store.settle(lease, DONE)
    again = await store.claim(NIGHT, "n", owner="me", lease_s=60)
    assert again.token > lease.token
    clock.advance(-2 * 86_400)
    assert await store.sweep(NIGHT) == ()
    renewed = await store.renew(again, lease_s=60)
    assert renewed.expires_at < again.expires_at
    later = await store.claim(NIGHT, "m", owner="me", lease_s=60)
    assert later.token > again.token
    await store.settle(renewed, DONE)
    sequence = [event.seq for event in await store.events(NIGHT)]
    assert sequence == sorted(sequence)
    assert await store.sweep(NIGHT, expired_only=False) == ("m",)
    await store.aclose()


async def test_a_stolen_lease_settles_nothing(path: Path, clock: FakeClock) -> None:
    """Another process that swept and claimed has the node; the first one's result is dropped, whatever it says."""
    store = await open_store(path, clock)
    other = await open_store(path, clock, busy_timeout_s=5)
    await begin(store, clock, node_of("n"))
    lease = await store.claim(NIGHT, "n", owner="one", lease_s=60)
    await other.sweep(NIGHT, expired_only=False)
    stolen = await other.claim(NIGHT, "n", owner="two", lease_s=60)
    for refused in (store.settle(lease, DONE), store.renew(lease, lease_s=60)):
        with pytest.raises(LeaseLostError):
            await refused
    await other.settle(stolen, DONE)
    with pytest.raises(LeaseLostError):
        await store.settle(lease, DONE)
    assert [one.owner for one in await store.attempts(NIGHT)] == ["one", "two"]
    await other.aclose()
    await store.aclose()


async def test_one_refused_write_does_not_undo_its_group(path: Path, clock: FakeClock) -> None:
    """A group is applied again when one of it fails: the others come once, in order, and so do their events."""
    store = await open_store(path, clock)
    await begin(store, clock, *(node_of(f"n{place}") for place in range(20)))
    refused: list[str] = []

    async def claim(key: str) -> None:
        try:
            await store.claim(NIGHT, key, owner="me", lease_s=60)
        except (StoreError, TransitionError) as error:
            refused.append(error.code)

    async def note() -> None:
        with pytest.raises(StoreError, match="cannot be stored"):
            await store.add_event(NIGHT, "\ud800", "note")

    async with asyncio.TaskGroup() as group:
        for place in range(20):
            group.create_task(claim(f"n{place}"), name=f"claim {place}")
            if place % 5 == 0:
                group.create_task(claim("unknown"), name=f"refused {place}")
                group.create_task(note(), name=f"unstorable {place}")
    assert refused == ["transition"] * 4
    attempts = await store.attempts(NIGHT)
    assert [one.token for one in attempts] == list(range(1, 21))
    events = await store.events(NIGHT)
    assert [event.subject for event in events if event.name == "node.running"] == [a.node for a in attempts]
    assert [event.seq for event in events] == list(range(events[0].seq, events[0].seq + len(events)))
    await store.aclose()


async def test_an_interrupted_opening_leaves_nothing_open(path: Path, clock: FakeClock) -> None:
    """Cancelled at any await while opening, no thread and no connection stays behind."""
    before = set(threading.enumerate())
    for turn in range(40):
        opened: list[SqliteStore] = []

        async def begin_opening(into: list[SqliteStore] = opened) -> None:
            into.append(await open_store(path, clock))

        async with asyncio.TaskGroup() as group:
            task = group.create_task(begin_opening(), name=f"open {turn}")
            await asyncio.sleep(turn / 4_000)
            task.cancel()
        for store in opened:
            await store.aclose()
    left = [one for one in set(threading.enumerate()) - before if "_connection_worker" in one.name]
    for thread in left:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()
    await (await open_store(path, clock)).aclose()
