"""Only one process at a time runs nights over a store."""

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pantheon.adapters.store import hold_night, night_holder, open_store
from pantheon.core.errors import StoreError
from pantheon.testing.clock import FakeClock

HOLDER = """
import asyncio, sys
from pathlib import Path
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.store import hold_night

async def hold():
    async with hold_night(Path(sys.argv[1]), SystemClock()):
        print("held", flush=True)
        await asyncio.sleep(60)

asyncio.run(hold())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


async def test_the_second_is_refused_by_the_firsts_name(path: Path) -> None:
    """While a night is held another one is refused and told who has it; afterwards it may start."""
    clock = FakeClock()
    assert await night_holder(path) is None
    async with hold_night(path, clock):
        assert await night_holder(path) is not None
        with pytest.raises(StoreError, match=f"process {os.getpid()} on .*2026-01-01"):
            async with hold_night(path, clock):
                pytest.fail("two nights at once")
    assert await night_holder(path) is None
    async with hold_night(path, clock):
        pass


async def test_asking_who_holds_it_stops_no_night(path: Path) -> None:
    """Somebody who looks at the lock in the very moment a night starts does not make it refuse."""
    lock = path.with_name("store.db.lock")
    lock.touch()
    with lock.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        asyncio.get_running_loop().call_later(0.03, fcntl.flock, looking, fcntl.LOCK_UN)
        async with hold_night(path, FakeClock()):
            assert await night_holder(path) is not None


async def test_a_killed_holder_holds_nothing(path: Path) -> None:
    """The right goes with its process; what it wrote into the file does not matter."""

    def start() -> "subprocess.Popen[str]":
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        return holder

    with await asyncio.to_thread(start) as holder:
        with pytest.raises(StoreError, match=f"process {holder.pid} "):
            async with hold_night(path, FakeClock()):
                pytest.fail("two nights at once")
        holder.kill()
        await asyncio.to_thread(holder.wait)
    async with hold_night(path, FakeClock()):
        pass


async def test_holding_the_night_does_not_stop_enqueueing(path: Path) -> None:
    """The lock is about nights; the store stays open to other writers."""
    clock = FakeClock()
    async with hold_night(path, clock):
        store = await open_store(path, clock)
        await store.add_event("", "store", "note")
        await store.aclose()


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", '{"pid": "x"}', '{"pid": 1}', "\x00\x1b" * 4000, "[" * 4096]
)
async def test_the_files_text_is_not_believed(path: Path, text: str) -> None:
    """Whatever stands in the lock file, the second is refused with a sentence and nobody crashes."""
    clock = FakeClock()
    async with hold_night(path, clock):
        path.with_name("store.db.lock").write_text(text)
        with pytest.raises(StoreError, match="has not said who it is"):
            async with hold_night(path, clock):
                pytest.fail("two nights at once")


async def test_the_files_text_cannot_act_on_a_terminal(path: Path) -> None:
    """Control characters in a holder's name do not reach the message."""
    async with hold_night(path, FakeClock()):
        path.with_name("store.db.lock").write_text('{"pid": 1, "host": "\\u001b[2Jx", "started": "now"}')
        assert await night_holder(path) == "process 1 on [2Jx, since now"


async def test_a_link_in_the_locks_place_is_refused(path: Path, tmp_path: Path) -> None:
    """Nobody's file is emptied because a link points there."""
    precious = tmp_path / "precious"
    precious.write_text("text")
    path.with_name("store.db.lock").symlink_to(precious)
    with pytest.raises(StoreError, match="cannot be made"):
        async with hold_night(path, FakeClock()):
            pytest.fail("followed a link")
    with pytest.raises(StoreError, match="cannot be read"):
        await night_holder(path)
    assert precious.read_text() == "text"


async def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    """Without a place for the lock there is an error, not a night without one."""
    with pytest.raises(StoreError, match="cannot be made"):
        async with hold_night(tmp_path / "none" / "store.db", FakeClock()):
            pytest.fail("held without a lock")
