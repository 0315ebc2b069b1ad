"""A night whose disk cannot be written: it ends with an error that names the place, and goes on once it can be."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.store import open_store
from pantheon.core.errors import StoreError
from pantheon.core.records import NodeRecord, NodeState
from pantheon.testing.chaos_check import check_night, fingerprint
from pantheon.testing.chaos_night import NIGHT, ChaosNight
from pantheon.testing.night import Bench

READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
RUN = """
import asyncio, sys
from pathlib import Path
from pantheon.core.errors import PantheonError
from pantheon.testing.chaos_night import ChaosNight

def leaves(error):
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for one in error.exceptions for leaf in leaves(one)]

try:
    asyncio.run(ChaosNight(Path(sys.argv[1]), 2).run())
except BaseException as error:
    for leaf in leaves(error):
        print(isinstance(leaf, PantheonError), getattr(leaf, "message", repr(leaf)))
    sys.exit(9)
"""
READ = """
import asyncio, sys
from pathlib import Path
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.store import open_store
from pantheon.core.errors import StoreError

async def read():
    store = await open_store(Path(sys.argv[1]), SystemClock(), write=sys.argv[2] == "write")
    print(len(await store.nights()))
    await store.aclose()

try:
    asyncio.run(read())
except StoreError as error:
    print(error)
    sys.exit(9)
"""


def run(read_only: Path | None, script: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a script, in a mount namespace of its own in which a folder is read-only."""
    command = [sys.executable, "-c", script, *args]
    if read_only is not None:
        command = ["unshare", "-m", "sh", "-c", READ_ONLY, "sh", str(read_only), *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def night(tmp_path: Path) -> ChaosNight:
    """A night that was opened and did nothing yet."""
    night = ChaosNight(tmp_path, notes=2)
    night.make()

    def stop(_: Bench) -> None:
        raise StoreError("opened, and nothing more")

    with pytest.raises(StoreError):
        asyncio.run(night.run(stop))
    (night.own / "artifacts").mkdir(exist_ok=True)
    return night


@pytest.fixture
def before(night: ChaosNight) -> Mapping[str, str]:
    return fingerprint(night.root)


@pytest.mark.parametrize("place", ["night/state", "night/artifacts", ""], ids=["state", "artifacts", "all"])
def test_a_place_that_cannot_be_written_ends_the_night_by_name(
    night: ChaosNight, before: Mapping[str, str], place: str
) -> None:
    """State or artifacts on a read-only disk: nothing is lost, and the same command ends the night later."""
    done = run(night.folder / place, RUN, str(night.folder))
    assert done.returncode == 9, done.stderr
    assert done.stdout.strip(), done.stderr
    assert all(line.startswith("True ") for line in done.stdout.splitlines()), done.stdout
    assert str(night.folder) in done.stdout
    again = run(None, RUN, str(night.folder))
    assert again.returncode == 0, again.stdout
    found = asyncio.run(check_night(night, before))
    assert found.problems == ()
    assert found.outcomes == {"accepted": 2}


@pytest.mark.parametrize("how", ["read", "write"])
def test_a_store_on_a_read_only_disk(night: ChaosNight, how: str) -> None:
    """Where nothing is read-only both ways work; on a read-only disk each says what it needs or does its work."""
    assert run(None, READ, str(night.database), how).stdout == "0\n"
    done = run(night.database.parent, READ, str(night.database), how)
    if how == "read":
        assert (done.returncode, done.stdout) == (0, "0\n")
    else:
        assert done.returncode == 9
        assert str(night.database) in done.stdout


def test_a_repository_that_cannot_be_written_fails_its_tasks_by_name(night: ChaosNight) -> None:
    """Where only the user's repository is read-only all the work is done, and each merge says why it did not land."""
    before = fingerprint(night.root)
    assert run(night.root / ".git", RUN, str(night.folder)).returncode == 0
    found = asyncio.run(check_night(night, before))
    assert (found.lost, found.repeated, found.torn, found.touched) == ((), (), (), ())
    assert found.outcomes == {"failed": 2}
    ended = asyncio.run(nodes(night))
    lost = [node for node in ended if node.state is not NodeState.SUCCEEDED]
    assert {node.node for node in lost} == {"merge"}
    assert all("Read-only file system" in node.cause for node in lost), [node.cause for node in lost]


async def nodes(night: ChaosNight) -> tuple[NodeRecord, ...]:
    """What became of the night's nodes."""
    store = await open_store(night.database, SystemClock(), write=False)
    try:
        return await store.nodes(NIGHT)
    finally:
        await store.aclose()
