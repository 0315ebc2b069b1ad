"""A real ``pantheon night``, signer and all, is killed and resumed, and what it left verifies."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pantheon.testing.night import NoteScript
from pantheon.testing.qualified import qualify_project
from pantheon.testing.sample_notes import NOTES, PROPOSALS
from pantheon.testing.scripted_model import serve_script
from pantheon.testing.user_repository import make_repository


class Home:
    """A user with one repository and a model server of their own."""

    def __init__(self, top: Path) -> None:
        self.top, self.root, self.socket = top, make_repository(top / "user", NOTES), top / "m.sock"
        self.home = top / "home"
        self.home.mkdir()
        self.run("init")
        qualify_project(self.root)
        tasks = self.run("scope", "docops", "docs/*.md").stdout
        done = self.run("enqueue", "-", stdin=tasks)
        assert done.returncode == 0, done.stderr

    def words(self, *words: str) -> list[str]:
        settings = ("endpoint.kind=openai", f"endpoint.uds={self.socket}")
        return [sys.executable, "-m", "pantheon", *(w for one in settings for w in ("--set", one)), *words]

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8"}

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.words(*words), cwd=self.root, env=self.environment, input=stdin,
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip

    def start_night(self) -> subprocess.Popen[bytes]:
        with (self.top / "night.log").open("ab") as log:
            return subprocess.Popen(
                self.words("night"),
                cwd=self.root,
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def ledger(self) -> list[bytes]:
        found = list((self.root / "artifacts").glob("*/ledger.jsonl"))
        return found[0].read_bytes().splitlines() if found else []


def kill_in_the_middle(home: Home) -> None:
    """Start the night, wait until it has attested something, and kill it."""
    with home.start_night() as night:
        until = time.monotonic() + 60
        while len(home.ledger()) < 6:
            assert night.poll() is None, (home.top / "night.log").read_text()[-2_000:]
            assert time.monotonic() < until
            time.sleep(0.01)
        night.send_signal(signal.SIGKILL)


@pytest.fixture
async def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


async def test_killed_and_resumed_it_verifies(home: Home) -> None:
    """The second process goes on with keys of its own, and the whole ledger stands on the user's key."""
    async with serve_script(NoteScript(PROPOSALS), home.socket):
        await asyncio.to_thread(kill_in_the_middle, home)
        resumed = await asyncio.to_thread(home.run, "night", "--json")
    assert resumed.returncode == 0, resumed.stderr
    summary = json.loads(resumed.stdout)
    assert summary["outcomes"] == {"accepted": len(NOTES)}
    witness = next((home.home / ".local" / "state" / "pantheon" / "witness").iterdir())
    told = home.run("verify", "artifacts", "--json", "--witness", str(witness), "--repository", ".")
    assert told.returncode == 0, told.stdout
    (night,) = json.loads(told.stdout)["nights"]
    assert night["closed"]
    assert night["checkpoint"] == summary["checkpoint"]
    assert night["outcomes"] == {"accepted": len(NOTES)}
    kinds = [json.loads(line)["signatures"][0]["keyid"] for line in home.ledger()]
    assert len(set(kinds)) >= 3, "the user's key, and a night's key of each process"
