"""The merge window from the command line: a night that waits to land, what it says, and the one that lands."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pantheon.testing.night import NoteScript, proposal
from pantheon.testing.qualified import qualify_project
from pantheon.testing.scripted_model import ScriptedServer
from pantheon.testing.user_repository import git, make_repository

NOTE = b"""queues notes from the call

We compared retries with dead letter queues for the order service. Retries with backoff hide slow consumers,
dead letter queues show them.
"""
SCRIPT = NoteScript({
    "queues": proposal(
        "order service", "Retries versus Dead Letter Queues for Orders",
        "Compares retries with dead letter queues for the order service and says which one shows slow consumers.",
        "queues", "retries", "orders",
    ),
})  # fmt: skip


class Site:
    """A repository with one queued note."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.root = make_repository(top / "user", {"docs/2026.01.01.md": NOTE})
        assert self.run("init").returncode == 0
        qualify_project(self.root)
        (self.root / "pantheon.toml").write_text(
            f'[endpoint]\nkind = "openai"\nuds = "{top}/a.sock"\nmodel = "scripted"\n'
        )
        scoped = self.run("scope", "docops", "docs/**/*.md")
        assert self.run("enqueue", "-", stdin=scoped.stdout).returncode == 0

    def run(self, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.top / "home"), "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            [sys.executable, "-m", "pantheon", *words], cwd=self.root, env=variables, input=stdin,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def merges(self, *, opens_in: timedelta) -> None:
        """Give the merge window two hours, the first of them after ``opens_in`` from now."""
        opens = datetime.now(UTC) + opens_in
        policy = self.root / "policies/night.toml"
        kept = policy.read_text().partition("\n[merge_window]")[0]
        policy.write_text(
            f"{kept}\n[merge_window]\n"
            f'start = "{opens:%H:%M}"\nend = "{opens + timedelta(hours=2):%H:%M}"\ntime_zone = "UTC"\n'
        )


@contextmanager
def serving(top: Path) -> Iterator[ScriptedServer]:
    """Serve the script at a socket from a thread."""
    server = ScriptedServer(SCRIPT)
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with await asyncio.start_unix_server(server.handle, top / "a.sock"):
            ready.set()
            await asyncio.to_thread(done.wait)
            await server.aclose()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield server
    finally:
        done.set()
        thread.join()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_night_waits_for_the_merge_window_and_lands_in_it(site: Site) -> None:
    """Changed hours are no drift. Closed: exit code 5, nothing on any branch, and everybody is told; open: it lands."""
    site.merges(opens_in=timedelta(hours=5))
    with serving(site.top):
        done = site.run("night", "--json")
        assert done.returncode == 5, done
        told = json.loads(done.stdout)
        assert (told["outcomes"], told["to_land"]) == ({"open": 1}, 1)
        assert git(site.root, "branch", "--list", "pantheon/*") == ""
        again = site.run("night")
        assert again.returncode == 5
        assert "1 allowed change waits for the merge window, which opens 20" in again.stderr
        status = site.run("status").stdout
        assert "1 allowed change waits for the merge window" in status
        assert "interrupted" not in status
        assert "waits for the merge window to land 1 allowed change" in site.run("report").stderr
        assert site.run("night", "--land-only").returncode == 5
        site.merges(opens_in=timedelta(hours=-1))
        landed = site.run("night", "--land-only", "--json")
        assert landed.returncode == 0, landed
        assert json.loads(landed.stdout)["outcomes"] == {"accepted": 1}
        assert site.run("night", "--land-only").returncode == 0, "nothing is left"
    night = told["night"]
    assert git(site.root, "branch", "--list", "pantheon/*").strip().endswith(night)
    assert site.run("verify", f"artifacts/{night}").returncode == 0


def test_a_wrong_merge_window_is_refused_by_name(site: Site) -> None:
    """A time zone that no machine knows stops the night before anything runs, and names the section."""
    policy = site.root / "policies/night.toml"
    policy.write_text(policy.read_text() + '\n[merge_window]\ntime_zone = "Mars/Olympus"\n')
    with serving(site.top) as server:
        done = site.run("night")
    assert done.returncode == 2
    assert "merge_window.time_zone" in done.stderr
    assert server.requests == []
