"""What SQLite adds to the store's contract: files, schemas, groups, several openers."""

# ruff: noqa: ASYNC240 - nothing else runs on a test's loop

import asyncio
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest

from pantheon.adapters.store import SqliteStore, migrations, open_store, opening, writer
from pantheon.adapters.store.group import GroupConnection
from pantheon.adapters.store.migrations import APPLICATION_ID, load_migrations
from pantheon.core.errors import StoreError
from pantheon.core.records import NodeState, TaskOutcome
from pantheon.testing.clock import FakeClock
from pantheon.testing.store_contract import DONE, NIGHT, batch_of, begin, night_of, node_of


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.db"


@pytest.fixture
async def store(path: Path, clock: FakeClock) -> AsyncIterator[SqliteStore]:
    opened = await open_store(path, clock, busy_timeout_s=5)
    yield opened
    await opened.aclose()


async def test_everything_survives_closing(path: Path, clock: FakeClock) -> None:
    """What was written is there after the store was opened again, and no log is left beside it."""
    first = await open_store(path, clock)
    await begin(first, clock, node_of("n", NodeState.READY))
    await first.settle(await first.claim(NIGHT, "n", owner="me", lease_s=60), DONE)
    before = await first.nodes(NIGHT), await first.attempts(NIGHT), await first.events(NIGHT)
    await first.aclose()
    assert [one.name for one in path.parent.iterdir()] == ["store.db"]
    again = await open_store(path, clock, write=False)
    assert (await again.nodes(NIGHT), await again.attempts(NIGHT), await again.events(NIGHT)) == before
    await again.aclose()


async def test_the_file_is_its_owners_and_marked(path: Path, store: SqliteStore) -> None:
    """Nobody else can read the state; the file says what it is and which schema it has."""
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert db.execute("PRAGMA user_version").fetchone() == (len(load_migrations()),)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_store_opened_for_reading_writes_nothing(
    path: Path, store: SqliteStore, clock: FakeClock
) -> None:
    """Every write is refused with a sentence, every read works."""
    looking = await open_store(path, clock, write=False)
    with pytest.raises(StoreError, match="reading only"):
        await looking.add_event("", "store", "note")
    assert await looking.batches() == ()
    await looking.check()
    await looking.aclose()


async def test_there_must_be_a_store_to_read(path: Path, clock: FakeClock) -> None:
    """Reading makes no file, and names the one it misses."""
    with pytest.raises(StoreError, match=r"no store at .*store\.db"):
        await open_store(path, clock, write=False)
    assert not path.parent.exists()


@pytest.mark.parametrize("write", [True, False])
async def test_a_newer_schema_is_left_alone(path: Path, clock: FakeClock, write: bool) -> None:
    """A store of a later version is refused by both numbers and not touched."""
    await (await open_store(path, clock)).aclose()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"schema 99.*knows up to \d+"):
        await open_store(path, clock, write=write)
    assert path.read_bytes() == before


@pytest.mark.parametrize("write", [True, False])
async def test_another_programs_database_is_left_alone(path: Path, clock: FakeClock, write: bool) -> None:
    """A database without our mark is not turned into a store."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (a)")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program"):
        await open_store(path, clock, write=write)
    assert path.read_bytes() == before


async def test_an_older_schema_is_not_read_but_brought_up_to_date(path: Path, clock: FakeClock) -> None:
    """An empty file reads as schema 0: readers say so, a writer migrates it."""
    path.parent.mkdir()
    path.touch()
    with pytest.raises(StoreError, match=r"schema 0; reading needs \d+"):
        await open_store(path, clock, write=False)
    await (await open_store(path, clock)).aclose()
    await (await open_store(path, clock, write=False)).aclose()


async def test_a_store_of_the_first_schema_is_carried_over(path: Path, clock: FakeClock) -> None:
    """Tasks keep their nights, outcomes and causes, pending ones stay pending, nodes are counted."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(load_migrations()[0])
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        db.execute("INSERT INTO batches VALUES ('b', 'd', '', 3, '2026-01-01T00:00:00.000000+00:00', 'q')")
        for night, state in (("old", "closed"), ("now", "running")):
            db.execute(
                "INSERT INTO nights VALUES (?, ?, 'c0', 'br', '2026-01-01T00:00:00.000000+00:00', NULL, '{}')",
                (night, state),
            )
        db.executemany(
            "INSERT INTO tasks VALUES (?, 'b', '{}', 'docs', ?, ?, ?)",
            [("b/1", "old", "failed", "no title"), ("b/2", "now", None, ""), ("b/3", None, None, "")],
        )
        db.executemany(
            "INSERT INTO nodes (night, key, task, node, state, needs, cause) VALUES (?, ?, ?, 'n', ?, '[]', '')",
            [("old", "b/1#n", "b/1", "failed"), ("now", "b/2#n", "b/2", "waiting")],
        )
    store = await open_store(path, clock)
    found = [(task.key, task.night, task.outcome, task.cause) for task in await store.tasks()]
    assert found == [
        ("b/1", "old", TaskOutcome.FAILED, "no title"),
        ("b/2", "now", None, ""),
        ("b/3", None, None, ""),
    ]
    assert [task.key for task in await store.tasks(pending=True)] == ["b/3"]
    assert (await store.counts("old")).nodes == {NodeState.FAILED: 1}
    await store.settle(await store.claim("now", "b/2#n", owner="me", lease_s=60), DONE)
    assert (await store.counts()).nodes == {NodeState.FAILED: 1, NodeState.SUCCEEDED: 1}
    assert await store.requeue("b/1", reason="again", by="ann") == ("b/1",)
    assert (await store.tasks(night="old"))[0].outcome is TaskOutcome.FAILED
    await store.aclose()


@pytest.mark.parametrize("turn", range(8))
async def test_many_may_open_a_fresh_store_at_once(path: Path, clock: FakeClock, turn: int) -> None:
    """Migrations are applied once, whoever comes first, and nobody is refused."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(open_store(path, clock), name=f"open {place}") for place in range(6)]
    for task in tasks:
        await task.result().aclose()


async def test_a_refused_switch_to_the_log_is_tried_again(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite refuses at once when two switch a fresh file together; the store waits in its stead."""
    asked = 0
    pragma = migrations.pragma

    async def refusing(connection: aiosqlite.Connection, name: str) -> int | str:
        nonlocal asked
        asked += name.startswith("journal_mode")
        if name.startswith("journal_mode") and asked < 3:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return await pragma(connection, name)

    monkeypatch.setattr(opening, "pragma", refusing)
    await (await open_store(path, clock)).aclose()
    assert asked == 3


async def test_a_file_locked_while_it_is_fresh_is_waited_for_then_named(path: Path, clock: FakeClock) -> None:
    """Opening waits for a lock as long as any write does, then says what is in the way."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another process"):
            await open_store(path, clock, busy_timeout_s=0.05)
        other.execute("ROLLBACK")
    await (await open_store(path, clock)).aclose()


async def test_an_interrupted_closing_closes_all_the_same(path: Path, clock: FakeClock) -> None:
    """Cancelled twice while it closes, the store leaves no thread behind."""
    before = set(threading.enumerate())
    for turn in range(20):
        store = await open_store(path, clock)
        async with asyncio.TaskGroup() as group:
            closing_it = group.create_task(store.aclose(), name=f"close {turn}")
            for _ in range(2):
                await asyncio.sleep(turn / 20_000)
                closing_it.cancel()
    for thread in set(threading.enumerate()) - before:
        if "_connection_worker" in thread.name:
            await asyncio.to_thread(thread.join, 5)
            assert not thread.is_alive()


async def test_two_writers_share_one_history(path: Path, store: SqliteStore, clock: FakeClock) -> None:
    """A second process may enqueue while a night runs; numbers stay without gaps."""
    await begin(store, clock)
    other = await open_store(path, clock, busy_timeout_s=5)

    async def note(through: SqliteStore) -> None:
        for _ in range(20):
            await through.add_event(NIGHT, "n", "note")

    async with asyncio.TaskGroup() as group:
        group.create_task(note(store), name="night")
        group.create_task(note(other), name="enqueue")
    batch, tasks = batch_of(clock, "late", "one")
    assert await other.add_batch(batch, tasks)
    assert await store.tasks(pending=True) == tuple(tasks)
    everything = (*await store.events(NIGHT), *await other.events(""))
    assert sorted(event.seq for event in everything) == list(range(1, len(everything) + 1))
    await other.aclose()


async def test_readers_see_whole_groups_while_the_night_writes(
    path: Path, store: SqliteStore, clock: FakeClock
) -> None:
    """A reader beside the writer never waits, and sees a prefix of the history without a gap."""
    await begin(store, clock)
    looking = await open_store(path, clock, write=False, busy_timeout_s=0)

    async def write() -> None:
        for _ in range(100):
            await store.add_event(NIGHT, "n", "note")

    seen = 0
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write(), name="night")
        while not writing.done():
            found = [event.seq for event in await looking.events(NIGHT)]
            assert found == list(range(2, len(found) + 2))
            assert len(found) >= seen
            seen = len(found)
    await looking.aclose()


async def test_callers_at_once_share_commits(
    store: SqliteStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred writes that wait together cost a handful of commits, and a refused one fails alone."""
    await begin(store, clock, node_of("n"))
    commits = 0
    commit = GroupConnection.commit

    def counted(self: GroupConnection) -> None:
        nonlocal commits
        commits += 1
        commit(self)

    monkeypatch.setattr(GroupConnection, "commit", counted)

    async def refused() -> None:
        with pytest.raises(Exception, match="unknown"):
            await store.make_ready(NIGHT, ["n", "unknown"])

    async with asyncio.TaskGroup() as group:
        for place in range(100):
            group.create_task(store.add_event(NIGHT, "n", "note", {"place": place}), name=f"note {place}")
            if place % 10 == 0:
                group.create_task(refused(), name=f"refused {place}")
    notes = [event for event in await store.events(NIGHT) if event.name == "note"]
    assert len(notes) == 100
    assert commits <= 5
    assert [event.seq for event in notes] == list(range(notes[0].seq, notes[0].seq + 100))


async def test_waiting_commands_are_bounded(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the capacity callers wait; nobody is refused and nothing is lost."""
    monkeypatch.setattr(writer, "CAPACITY", 3)
    sizes: list[int] = []
    commit = GroupConnection.commit

    def counted(self: GroupConnection) -> None:
        before = self.total_changes
        commit(self)
        sizes.append(self.total_changes - before)

    monkeypatch.setattr(GroupConnection, "commit", counted)
    store = await open_store(path, clock)
    await store.open_night(night_of(clock), [])
    async with asyncio.TaskGroup() as group:
        for place in range(20):
            group.create_task(store.add_event(NIGHT, "n", "note"), name=f"note {place}")
    await store.aclose()
    # The first group is the night with its counts.
    assert max(sizes[1:]) <= 3
    assert sum(sizes[1:]) == 20


async def test_a_large_read_leaves_the_loop_to_others(
    path: Path, store: SqliteStore, clock: FakeClock
) -> None:
    """Thousands of rows come in pieces, in order and complete."""
    batch, tasks = batch_of(clock, "b", *(f"t{place}" for place in range(3_000)))
    await store.add_batch(batch, tasks)
    assert await store.tasks() == tuple(tasks)
