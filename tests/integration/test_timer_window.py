"""The timer instead of the daemon: it goes off when the window opens, its night ends with it, and a stop is in time."""

import asyncio
import os
import shutil
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pantheon.core.units import Served, escape_path, on_calendar, plan_user
from pantheon.core.window import Day, Hours
from pantheon.shell.cli import night_work
from pantheon.shell.cli.night_work import _drained_by_signals
from pantheon.shell.window_wiring import Bounds

SHIPPED = Path(__file__).parents[2] / "systemd"
PATHS = (
    "/srv/repo",
    "/home/me/my-repo.git",
    "/home/me/.hidden/a b",
    "/.x/y",
    "/srv//a/",
    "/srv/\u00e9t\u00e9:_1",
)


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words, capture_output=True, text=True, check=False, env={"LC_ALL": "C", **os.environ}
    )


@pytest.mark.skipif(shutil.which("systemd-escape") is None, reason="no systemd on this machine")
def test_an_instance_has_the_name_that_systemd_gives_it() -> None:
    """Dots, hyphens, spaces and letters beyond ASCII."""
    told = run("systemd-escape", "--path", *PATHS).stdout
    assert told.split() == [escape_path(one) for one in PATHS]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
@pytest.mark.parametrize(
    ("hours", "meant"),
    [
        (Hours(), "*-*-* 22:00:00"),
        (Hours(days=frozenset({Day.FRI, Day.MON})), "Mon,Fri *-*-* 22:00:00"),
        (
            Hours.model_validate(
                {"start": "23:05", "days": ["sun"], "time_zone": "America/Argentina/Ushuaia"}
            ),
            "Sun *-*-* 23:05:00 America/Argentina/Ushuaia",
        ),
    ],
)
def test_systemd_reads_the_calendar_as_it_is_meant(hours: Hours, meant: str) -> None:
    """Its own normal form is what was written."""
    done = run("systemd-analyze", "calendar", on_calendar(hours))
    assert done.returncode == 0, done.stderr
    assert f"Normalized form: {meant}" in done.stdout


def test_what_is_installed_has_the_window_in_a_drop_in_of_its_instance() -> None:
    """It takes the shipped time away first; without a window the shipped time stays."""
    shipped = {
        str(path.relative_to(SHIPPED)): path.read_bytes() for path in SHIPPED.rglob("*.*") if path.is_file()
    }
    served = Served(repository="/srv/repo", program=("/opt/pantheon",), writable=("/srv/repo",))
    assert not any("window.conf" in name for name in plan_user(shipped, served).files)
    both = ("Mon *-*-* 22:00:00", "*-*-* 05:00:00 Europe/Berlin")
    files = plan_user(shipped, Served("/srv/repo", ("/opt/pantheon",), ("/srv/repo",), calendar=both)).files
    lines = files["pantheon-night@srv-repo.timer.d/window.conf"].decode().splitlines()
    assert lines[1:] == ["[Timer]", "OnCalendar=", f"OnCalendar={both[0]}", f"OnCalendar={both[1]}"]
    unit = files["pantheon-night@.service"].decode()
    assert "ExecStart=/opt/pantheon -C %f night --window --stop-within 240\n" in unit


async def test_one_sigterm_drains_and_then_cancels_within_the_time_to_stop() -> None:
    """A service manager asks once: what does not end by itself is cancelled before it would be killed."""
    stopping = asyncio.Event()
    drained = False

    async def night() -> None:
        nonlocal drained
        with _drained_by_signals(stopping, 0.05):
            os.kill(os.getpid(), signal.SIGTERM)
            await stopping.wait()
            drained = True
            await asyncio.Event().wait()

    task = asyncio.create_task(night(), name="night")
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert drained


async def test_a_night_that_is_drained_in_time_is_not_cancelled_later() -> None:
    """What it does after its work, writing the report, is its own again."""
    stopping = asyncio.Event()
    with _drained_by_signals(stopping, 0.01):
        os.kill(os.getpid(), signal.SIGTERM)
        await stopping.wait()
    await asyncio.sleep(0.05)


async def test_the_window_s_end_drains_and_then_cancels() -> None:
    """Nobody has to ask: a night of a timer is over three minutes after its window."""
    stopping = asyncio.Event()
    began = datetime(2026, 11, 21, 5, 59, 59, tzinfo=UTC)
    clock = iter([began, began + timedelta(seconds=0.01), began + timedelta(hours=1)])
    drained = False

    async def night() -> None:
        nonlocal drained
        with _drained_by_signals(stopping, 0.01, began + timedelta(seconds=0.02), lambda: next(clock)):
            await stopping.wait()
            drained = True
            await asyncio.Event().wait()

    task = asyncio.create_task(night(), name="night")
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert drained


async def test_a_night_that_is_drained_already_is_not_cut_off_by_the_window_s_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody asked without saying how long it may take: the end of the window says that, and is no second signal."""
    monkeypatch.setattr(night_work, "CLOCK_S", 0.001)
    stopping, ended = asyncio.Event(), asyncio.Event()
    end = datetime(2026, 11, 21, 6, tzinfo=UTC)

    def now() -> datetime:
        if not stopping.is_set():
            return end - timedelta(hours=1)
        ended.set()
        return end

    async with asyncio.timeout(20):
        with _drained_by_signals(stopping, None, end, now):
            os.kill(os.getpid(), signal.SIGTERM)
            await ended.wait()
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("ends", [True, False])
async def test_a_night_of_a_daemon_is_ended_by_the_daemon(
    monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """The same times on its command line: that of a timer is over with its window, a daemon's has somebody who asks."""
    end = datetime(2026, 11, 21, 6, tzinfo=UTC)

    class Waits:
        def __init__(self, *, stopping: asyncio.Event, finish_by: datetime, **rest: object) -> None:
            self.stopping, self.finish_by = stopping, finish_by

        async def run(self, *plan: object) -> bool:
            await asyncio.sleep(0)
            return self.stopping.is_set()

    monkeypatch.setattr(night_work, "Night", Waits)
    services = SimpleNamespace(clock=SimpleNamespace(now=lambda: end))
    opened: Any = SimpleNamespace(services=services, owner="me")
    config = SimpleNamespace(slots={}, paced=False, night=SimpleNamespace(lease_s=60, dispatch="readiness"))
    project: Any = SimpleNamespace(config=config)
    plan: Any = SimpleNamespace(
        left_aside=(), drift=(), resumed=False, record=SimpleNamespace(id="n"), tasks=()
    )
    drained: Any = await night_work._watched(
        project, opened, plan, Bounds(end, end, ends=ends), landing=None, stop_s=240
    )
    assert drained is ends
