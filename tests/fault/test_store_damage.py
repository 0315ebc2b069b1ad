"""The store's file damaged, in the wrong place, or not to be written: named, and never repaired."""

# ruff: noqa: ASYNC240 - nothing else runs on a test's loop

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pantheon.adapters.store import open_store
from pantheon.adapters.store.failures import translated
from pantheon.core.errors import StoreError
from pantheon.core.records import NodeState
from pantheon.testing.clock import FakeClock
from pantheon.testing.store_contract import DONE, NIGHT, begin, node_of


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


async def filled(path: Path, clock: FakeClock) -> None:
    store = await open_store(path, clock)
    await begin(store, clock, *(node_of(f"n{place}", NodeState.READY) for place in range(500)))
    await store.settle(await store.claim(NIGHT, "n1", owner="me", lease_s=60), DONE)
    await store.aclose()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"not a database at all, but long enough to be read as one" * 100,
        lambda data: data[: len(data) // 2],
        lambda data: data[:100] + bytes(4000) + data[4100:],
        lambda data: data[:8192] + b"\xff" * 8192 + data[16384:],
    ],
    ids=["text", "truncated", "schema", "pages"],
)
async def test_damage_is_named_and_never_repaired(
    path: Path, clock: FakeClock, damage: Callable[[bytes], bytes]
) -> None:
    """A damaged file is refused with its path and left byte for byte as it is."""
    await filled(path, clock)
    broken = damage(path.read_bytes())
    path.write_bytes(broken)
    with pytest.raises(StoreError) as found:
        await open_store(path, clock)
    assert str(path) in found.value.message
    assert path.read_bytes() == broken


async def test_damage_met_while_reading_is_named(path: Path, clock: FakeClock) -> None:
    """A reader that does not check the file beforehand still ends in a store's error."""
    await filled(path, clock)
    data = path.read_bytes()
    path.write_bytes(data[:8192] + b"\xff" * (len(data) - 8192))
    before = path.read_bytes()

    async def read_all() -> None:
        looking = await open_store(path, clock, write=False)
        try:
            await looking.nodes(NIGHT)
            await looking.tasks()
            await looking.events(NIGHT)
        finally:
            await looking.aclose()

    with pytest.raises(StoreError, match=r"store\.db is damaged"):
        await read_all()
    assert path.read_bytes() == before


async def test_values_changed_from_outside_are_not_believed(path: Path, clock: FakeClock) -> None:
    """A row that no record can be made of is an error, not a guess."""
    await filled(path, clock)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE nodes SET needs = 'not json' WHERE key = 'n3'")
        db.commit()
    looking = await open_store(path, clock, write=False)
    with pytest.raises(StoreError, match="cannot read"):
        await looking.nodes(NIGHT)
    await looking.aclose()


@pytest.mark.parametrize("write", [True, False])
async def test_a_place_that_cannot_hold_a_store_is_named(
    tmp_path: Path, clock: FakeClock, write: bool
) -> None:
    """A folder in the file's place, a file in the folder's place, a system folder: all end in an error."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("text")
    for place in (tmp_path / "folder", tmp_path / "file" / "store.db", Path("/proc/store.db")):
        with pytest.raises(StoreError, match=str(place)):
            await open_store(place, clock, write=write)


async def test_what_sqlite_says_is_translated(path: Path, clock: FakeClock) -> None:
    """Each kind of failure gets its own sentence and advice, with the file and SQLite's own name for it."""
    await filled(path, clock)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        with pytest.raises(StoreError, match=f"{path} cannot be written") as found, translated(path):
            db.execute("DELETE FROM events")
        assert found.value.details["sqlite"] == "SQLITE_READONLY"
        with pytest.raises(StoreError, match=f"{path} cannot be used") as found, translated(path):
            db.execute("SELECT nothing")
        assert found.value.hint


async def test_a_page_that_breaks_while_the_night_runs_is_named(path: Path, clock: FakeClock) -> None:
    """A write that meets damage fails with the file's name; nothing more is written and nothing is repaired."""
    await filled(path, clock)
    store = await open_store(path, clock)
    with closing(sqlite3.connect(path)) as db:
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'nodes'").fetchone()[0]
    size = 4096
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    before = path.read_bytes()
    # What was read before is remembered; let it go, as a night does that works for hours.
    for connection in store._connections:
        await connection.execute("PRAGMA shrink_memory")
    try:
        with pytest.raises(StoreError, match=r"store\.db is damaged"):
            await store.claim(NIGHT, "n7", owner="me", lease_s=60)
        with pytest.raises(StoreError, match="damaged"):
            await store.check()
    finally:
        await store.aclose()
    assert path.read_bytes() == before
    with pytest.raises(StoreError, match="damaged"):
        await open_store(path, clock)


async def test_a_disk_that_becomes_read_only_is_named(path: Path, clock: FakeClock) -> None:
    """Writes fail with what to do and leave nothing; reads go on; writing goes on when the disk does."""
    store = await open_store(path, clock)
    await begin(store, clock, node_of("n"))
    writing = store._connections[1]
    await writing.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match="cannot be written"):
        await store.claim(NIGHT, "n", owner="me", lease_s=60)
    assert (await store.nodes(NIGHT))[0].state is NodeState.WAITING
    await writing.execute("PRAGMA query_only = OFF")
    assert (await store.claim(NIGHT, "n", owner="me", lease_s=60)).attempt == 1
    await store.aclose()
