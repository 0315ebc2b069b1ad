"""The daemon's adapters: what the service manager is told, the child that goes with its parent, zones, small files."""

import asyncio
import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pantheon.adapters import zones
from pantheon.adapters.daemon_files import LastSeen, stamp_files
from pantheon.adapters.night_process import ChildNight, pantheon_command, start_child
from pantheon.adapters.sd_notify import MAX_VALUE_CHARS, SystemdSupervisor
from pantheon.core.errors import ConfigError, PantheonError, StoreError

NOW = datetime(2026, 1, 2, 3, tzinfo=UTC)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


@pytest.fixture
def supervise() -> Iterator[Callable[[Mapping[str, str]], SystemdSupervisor]]:
    """Makes supervisors and closes them."""
    made: list[SystemdSupervisor] = []

    def make(variables: Mapping[str, str]) -> SystemdSupervisor:
        made.append(SystemdSupervisor(variables))
        return made[-1]

    yield make
    for one in made:
        one.close()
        one.close()


Supervise = Callable[[Mapping[str, str]], SystemdSupervisor]


def is_dead(pid: str) -> bool:
    """Tell whether a process is gone, or only its name is left."""
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def dies(pid: str) -> bool:
    for _ in range(1_000):
        if is_dead(pid):
            return True
        await asyncio.sleep(0.02)
    return False


def test_a_fact_cannot_become_a_second_one(
    manager: socket.socket, tmp_path: Path, supervise: Supervise
) -> None:
    """A path with a line feed in it stays one line: no READY or MAINPID is smuggled in; too long a one is cut."""
    supervisor = supervise({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    supervisor.tell(STATUS="a\nMAINPID=1\r\nREADY=1\x00\x1b[2J", WATCHDOG="1")
    lines = manager.recv(65_536).split(b"\n")
    assert len(lines) == 2
    assert lines[0].startswith(b"STATUS=a\\u000a")
    assert lines[1] == b"WATCHDOG=1"
    supervisor.tell(STATUS="x" * 100_000)
    assert len(manager.recv(200_000)) == len("STATUS=") + MAX_VALUE_CHARS


def test_without_a_manager_nothing_is_told_and_nothing_fails(tmp_path: Path, supervise: Supervise) -> None:
    """No socket, a relative one, one that is gone, one that is full: the daemon goes on."""
    for value in ("", "relative/path", "vsock:2:1234"):
        supervisor = supervise({"NOTIFY_SOCKET": value, "WATCHDOG_USEC": "1000000"})
        supervisor.tell(READY="1")
        assert (supervisor.watchdog_s, supervisor.dropped) == (None, 0)
    gone = supervise({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    gone.tell(READY="1")
    assert gone.dropped == 1


def test_a_full_socket_does_not_block(manager: socket.socket, tmp_path: Path, supervise: Supervise) -> None:
    """A manager that does not read costs messages, never the loop."""
    supervisor = supervise({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    for _ in range(5_000):
        supervisor.tell(WATCHDOG="1")
    assert supervisor.dropped > 0


def test_an_abstract_socket_is_reached(supervise: Supervise) -> None:
    """A name that begins with @ lies outside the file system."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0pantheon-test-{os.getpid()}")
        supervise({"NOTIFY_SOCKET": f"@pantheon-test-{os.getpid()}"}).tell(READY="1")
        assert listening.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "٣"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_the_one_that_is_meant(
    variables: dict[str, str], seconds: float | None, tmp_path: Path, supervise: Supervise
) -> None:
    """A period for another process, or one that is no number, is none."""
    assert supervise({"NOTIFY_SOCKET": str(tmp_path / "n"), **variables}).watchdog_s == seconds


PARENT = """
import asyncio, sys
from pathlib import Path
from pantheon.adapters.night_process import start_child
async def main():
    child = await start_child((sys.executable, "-c", "import time; time.sleep(60)"), {}, cwd=Path("/"))
    print(child.pid, flush=True)
    await child.wait()
asyncio.run(main())
"""


async def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    """kill -9 leaves no chance to tidy up, and none is needed."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = (await parent.stdout.readline()).decode().strip()
    assert not is_dead(child)
    parent.kill()
    await parent.wait()
    assert await dies(child)


async def start_shell(folder: Path, on_term: str) -> ChildNight:
    """Start a shell that says what it does about SIGTERM, and wait until it does that and has a child of its own."""
    ready = folder / "ready"
    script = f"trap '{on_term}' TERM; sleep 60 & : > {shlex.quote(str(ready))}; wait"
    child = await start_child(("/bin/sh", "-c", script), {}, cwd=Path("/"))
    async with asyncio.timeout(20):
        while not ready.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
    ready.unlink()
    return child


async def test_a_child_is_asked_and_killed_with_all_it_started(tmp_path: Path) -> None:
    """Asking is SIGTERM to it alone; killing takes its children along; both are harmless afterwards."""
    child = await start_shell(tmp_path, "exit 7")
    [beside] = children_of(child.pid)
    child.ask()
    assert await child.wait() == 7
    child.ask()
    child.kill()
    os.kill(int(beside), signal.SIGKILL)
    deaf = await start_shell(tmp_path, "")
    deaf.ask()
    [below] = children_of(deaf.pid)
    deaf.kill()
    assert await deaf.wait() == -9
    assert await dies(below)


async def test_a_program_that_is_not_there_is_an_error_of_ours() -> None:
    """Not an OSError from somewhere."""
    with pytest.raises(PantheonError, match="cannot be started"):
        await start_child(("/nonexistent/python",), {}, cwd=Path("/"))


def test_the_night_is_run_by_this_very_installation() -> None:
    """No search path decides which Pantheon a night is, and nothing in the repository is imported."""
    assert pantheon_command(Path("/r"), "night") == (
        sys.executable, "-P", "-m", "pantheon", "-C", "/r", "night",
    )  # fmt: skip


def test_zones_come_from_the_database_and_a_wrong_name_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Berlin has summer time; nobody's name has none; TZ wins over /etc/localtime; without either it is UTC."""
    berlin = zones.find_zone("Europe/Berlin")
    assert datetime(2026, 7, 1, tzinfo=berlin).utcoffset() != datetime(2026, 1, 1, tzinfo=berlin).utcoffset()
    for wrong in ("Europe/Nowhere", "../etc/passwd", "/etc/localtime", "a\0b"):
        with pytest.raises(ConfigError, match=r"window\.time_zone"):
            zones.find_zone(wrong)
    assert zones.local_zone(":Europe/Berlin") == berlin
    monkeypatch.setattr(zones, "LOCALTIME", tmp_path / "localtime")
    assert zones.local_zone("") is UTC
    (tmp_path / "localtime").write_bytes(b"no time zone")
    with pytest.raises(ConfigError, match="localtime"):
        zones.local_zone("")


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_when_it_was_last_seen_survives_and_damage_does_not_hurt(tmp_path: Path) -> None:
    """Kept whole, read back; a damaged file is no memory; a folder that is gone is an error of ours."""
    memory = LastSeen(tmp_path / "daemon.json")
    assert await memory.last_seen() is None
    await memory.keep_last_seen(NOW)
    assert await memory.last_seen() == NOW
    assert names(tmp_path) == ["daemon.json"]
    for damaged in (
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"last_seen": 5}',
        b'{"last_seen": "2026-01-01"}',
        b"[" * 5_000,
    ):
        (tmp_path / "daemon.json").write_bytes(damaged)
        assert await memory.last_seen() is None
    with pytest.raises(StoreError):
        await LastSeen(tmp_path / "gone" / "daemon.json").keep_last_seen(NOW)


def test_a_stamp_changes_with_the_files(tmp_path: Path) -> None:
    """A new name in a folder, a replaced file, one that appears: each is seen."""
    folder, file = tmp_path / "queue", tmp_path / "db"
    folder.mkdir()
    # The clock of a file system may tick too seldom to tell what was made from what is added at once.
    os.utime(folder, (1, 1))
    seen = [stamp_files((folder, file))]
    (folder / "a").write_text(json.dumps({}))
    seen.append(stamp_files((folder, file)))
    file.write_text("x")
    seen.append(stamp_files((folder, file)))
    (tmp_path / "db2").write_text("x")
    (tmp_path / "db2").replace(file)
    seen.append(stamp_files((folder, file)))
    assert len(set(seen)) == 4
    assert stamp_files((folder, file)) == seen[-1]
