"""A store whose callers are cancelled at an exact step: what they leave must not mislead the next one."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.store import SqliteStore, migrations, open_store, opening
from pantheon.testing.clock import FakeClock
from pantheon.testing.steps import Steps
from pantheon.testing.store_contract import NIGHT, begin, node_of

MANY_STEPS = 100
Read = Callable[[SqliteStore], Coroutine[Any, Any, Any]]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await open_store(tmp_path / "store.db", FakeClock())
    yield opened
    await opened.aclose()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    "read",
    [
        lambda store: store.nodes(NIGHT),
        lambda store: store.counts(NIGHT),
        lambda store: store.measure_attempts(NIGHT),
        lambda store: store.check(),
    ],
)
async def test_a_cancelled_read_keeps_no_old_state_alive(store: SqliteStore, read: Read, late: bool) -> None:
    """Whoever reads after a read was cancelled sees what was written in between."""
    await begin(store, FakeClock(), *(node_of(f"n{number}") for number in range(3)))
    for at in range(1, MANY_STEPS):
        steps = Steps(at, late=late)
        await asyncio.wait([steps.start(read(store), name="read")])
        await store.add_event(NIGHT, NIGHT, "note", {"number": at})
        seen = await store.events(NIGHT, name="note")
        assert [event.details["number"] for event in seen] == list(range(1, at + 1))
        if steps.count < at:
            assert at > 3, "each visit to the database is waited for"
            return
    pytest.fail("the read never came to its end")


async def assert_no_threads() -> None:
    """Threads that have been told to end are given a moment."""
    async with asyncio.timeout(5):
        while threads():  # noqa: ASYNC110 - a thread tells nobody
            await asyncio.sleep(0.001)


def threads() -> set[threading.Thread]:
    """Threads of connections; those of the loop's executor come and stay."""
    return {one for one in threading.enumerate() if "_connection_worker_thread" in one.name}


@pytest.mark.parametrize("late", [False, True])
async def test_a_cancelled_opening_leaves_no_connection(
    tmp_path: Path, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled at any step, a store is open or not at all: no thread is left, and no lock."""
    only = migrations.load_migrations()[:1]
    for module in (migrations, opening):
        monkeypatch.setattr(module, "load_migrations", lambda: only)
    # What a power loss would take is no question here, and asking the disk takes most of the time.
    monkeypatch.setattr(opening, "DURABLE", ("PRAGMA synchronous = OFF", *opening.DURABLE[1:]))
    for at in range(1, MANY_STEPS):
        path = tmp_path / f"{at}" / "store.db"
        opened: list[SqliteStore] = []

        async def open_it(path: Path = path, opened: list[SqliteStore] = opened) -> None:
            opened.append(await open_store(path, FakeClock()))

        steps = Steps(at, late=late)
        await asyncio.wait([steps.start(open_it(), name="open")])
        for store in opened:
            await store.aclose()
        await assert_no_threads()
        await (await open_store(path, FakeClock(), busy_timeout_s=0.1)).aclose()
        if opened:
            assert at > 10, "each visit to the database is waited for"
            return
    pytest.fail("the store was never open")


@pytest.mark.parametrize("late", [False, True])
async def test_a_cancelled_closing_finishes_what_was_accepted(tmp_path: Path, late: bool) -> None:
    """Cancelled at any step, the store is closed all the same, behind every write that it had taken."""
    for at in range(1, MANY_STEPS):
        path = tmp_path / f"{at}" / "store.db"
        store = await open_store(path, FakeClock())
        await begin(store, FakeClock(), node_of("n"))
        async with asyncio.TaskGroup() as group:
            writes = [group.create_task(store.add_event(NIGHT, NIGHT, f"e{number}")) for number in range(40)]
            await asyncio.sleep(0)
            steps = Steps(at, late=late)
            closing = steps.start(store.aclose(), name="close")
            await asyncio.wait([closing])
        assert all(one.done() for one in writes)
        await assert_no_threads()
        again = await open_store(path, FakeClock(), write=False)
        found = {event.name for event in await again.events(NIGHT)}
        await again.aclose()
        assert {f"e{number}" for number in range(40)} <= found
        if steps.count < at:
            assert at > 2, "writer and connections are waited for"
            return
    pytest.fail("the store was never closed")
