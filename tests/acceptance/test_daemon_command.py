"""``pantheon daemon`` as a process: it waits, runs a night as a child, notifies, and leaves as it is told to."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from pantheon.testing.night import NoteScript, proposal
from pantheon.testing.qualified import qualify_project
from pantheon.testing.scripted_model import Reply, Say, serve_script
from pantheon.testing.user_repository import git, make_repository

NOTE = b"wombat uploads fail in CI about once a day, because the store answers 503 while it rebalances.\n"
PROPOSAL = proposal(
    "wombat uploads",
    "Wombat uploads fail once a day",
    "Why wombat uploads fail in CI about once a day while the store rebalances, and what is retried.",
    "ci",
    "uploads",
    "store",
)
SCRIPT = NoteScript({"wombat": PROPOSAL})
ALWAYS = "days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']\nstart = '00:00'\nend = '00:00'\nlast_start_s = 0\n"
DEADLINE_S = 40.0


class Manager:
    """A service manager that only listens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def listen(self) -> list[str]:
        """Take in what came; returns every line so far, in order."""
        while True:
            try:
                message = self._socket.recv(65_536).decode()
            except BlockingIOError:
                return [line for _, line in self.heard]
            self.heard += [(time.monotonic(), line) for line in message.split("\n")]

    def close(self) -> None:
        self._socket.close()


@dataclass
class Service:
    """A daemon that runs, and what it says."""

    process: asyncio.subprocess.Process
    manager: Manager
    said: list[str] = field(default_factory=list)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        for _ in range(int(DEADLINE_S / 0.05)):
            self.manager.listen()
            if condition():
                return
            await asyncio.sleep(0.05)
        heard = [line for line in self.manager.listen() if line != "WATCHDOG=1"]
        raise AssertionError(f"{what} did not happen; heard {heard}, said {self.said}")

    async def heard(self, text: str, times: int = 1) -> None:
        await self.until(lambda: sum(text in one for one in self.manager.listen()) >= times, text)

    async def end(self, one: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(one)
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.wait()


def zone_of_noon() -> str:
    """Return a time zone in which it is about noon now, so that no window ends and no day turns during a test."""
    ahead = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-ahead:+d}"


def environment(root: Path, **more: str) -> dict[str, str]:
    home = root.parent / "home"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "PANTHEON_MODELS_DIR": str(home / "models"),
        "LC_ALL": "C.UTF-8",
        "TZ": zone_of_noon(),
        **more,
    }


async def finish(root: Path, *words: str) -> tuple[int | None, str]:
    """Run one command to its end; returns its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pantheon", "-C", str(root), *words,
        env=environment(root), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, (err if process.returncode else out).decode()


async def pantheon(root: Path, *words: str) -> str:
    """Run one command to its good end; returns its output."""
    code, said = await finish(root, *words)
    assert code == 0, said
    return said


@asynccontextmanager
async def daemon(root: Path, *words: str, **variables: str) -> AsyncIterator[Service]:
    """Run a daemon under a scripted manager for the length of a ``with``."""
    manager = Manager(root.parent / f"notify-{len(list(root.parent.glob('notify-*')))}.sock")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pantheon", "-C", str(root), "daemon", *words,
        env=environment(root, NOTIFY_SOCKET=str(manager.path), **variables),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    service = Service(process, manager)
    assert process.stderr is not None
    stderr = process.stderr

    async def read() -> None:
        async for line in stderr:
            service.said.append(line.decode().rstrip())

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(read(), name="stderr")
            try:
                yield service
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()
    finally:
        manager.close()


def with_window(root: Path, window: str) -> None:
    """Give the policy another window; empty for none."""
    path = root / "policies" / "night.toml"
    head, _, rest = path.read_text().partition("[window]\n")
    path.write_text(
        head + (f"[window]\n{window}\n" if window else "") + "[budget]" + rest.partition("[budget]")[2]
    )


@pytest.fixture
async def root(tmp_path: Path) -> Path:
    """A repository with one note, that is laid out and always open."""
    root = make_repository(tmp_path / "r", {"docs/2026.02.03.10.11.md": NOTE})
    await pantheon(root, "init")
    qualify_project(root)
    config = root / "pantheon.toml"
    endpoint = f"[endpoint]\nkind = 'openai'\nuds = '{tmp_path / 'm.sock'}'\n"
    config.write_text(endpoint)
    with_window(root, ALWAYS)
    return root


async def enqueue(root: Path) -> None:
    tasks = root.parent / "tasks.jsonl"
    tasks.write_text(await pantheon(root, "scope", "docops", "docs/*.md"))
    await pantheon(root, "enqueue", str(tasks))


async def test_it_is_ready_before_it_waits_and_leaves_cleanly(root: Path) -> None:
    """READY first, a sentence about what it waits for, signs of life while idle, STOPPING on SIGTERM, exit 0."""
    async with daemon(root, WATCHDOG_USEC="1500000") as service:
        await service.heard("STATUS=nothing to do")
        await service.heard("WATCHDOG=1", times=4)
        assert await service.end() == 0
        lines = service.manager.listen()
        assert lines.index("READY=1") < next(
            n for n, one in enumerate(lines) if one.startswith("STATUS=nothing")
        )
        assert "STOPPING=1" in lines
        beats = [at for at, line in service.manager.heard if line == "WATCHDOG=1"]
        # A machine that is busy may hold up one of them; a daemon that gives them too seldom is late each time.
        assert median(later - at for at, later in pairwise(beats)) < 1.5


async def test_it_runs_what_is_enqueued_while_it_waits(root: Path, tmp_path: Path) -> None:
    """A batch that comes while the daemon is idle is worked by a child process, reported, and then it waits again."""
    async with serve_script(SCRIPT, tmp_path / "m.sock"), daemon(root, WATCHDOG_USEC="1500000") as service:
        await service.heard("STATUS=nothing to do")
        await enqueue(root)
        await service.heard("STATUS=started a night")
        await service.heard("STATUS=the night ended with exit code 0")
        await service.heard("STATUS=nothing to do", times=2)
        assert await service.end() == 0
    status = json.loads(await pantheon(root, "status", "--json"))
    assert status["night"]["outcomes"] == {"accepted": 1}
    assert list((root / "artifacts").rglob("report.html"))
    assert git(root, "branch", "--list", "pantheon/night-*")


@dataclass
class Slowly:
    """Answers like the script, with a pause before each token."""

    delay_s: float = 0.02

    def __call__(self, body: Mapping[str, Any]) -> Reply:
        said = SCRIPT(body)
        assert isinstance(said, Say)
        return replace(said, delay_s=self.delay_s)


async def test_sigterm_drains_the_night_and_a_new_daemon_resumes_it(root: Path, tmp_path: Path) -> None:
    """What runs is finished, the night stays open, the daemon leaves with 0; the next one goes on with it."""
    await enqueue(root)
    script = Slowly()
    async with serve_script(script, tmp_path / "m.sock"):
        async with daemon(root) as service:
            await service.until(lambda: any("doc.frontmatter" in one for one in service.said), "the agent")
            assert await service.end() == 0
            lines = service.manager.listen()
            assert "STATUS=the daemon stops: the night finishes what runs" in lines
            assert "STATUS=the night ended with exit code 130" in lines
            assert "STOPPING=1" in lines
        script.delay_s = 0.0
        async with daemon(root) as service:
            await service.heard("STATUS=the night ended with exit code 0")
            assert await service.end() == 0
    status = json.loads(await pantheon(root, "status", "--json"))
    assert status["night"]["outcomes"] == {"accepted": 1}


async def test_a_second_sigterm_cancels_what_runs(root: Path, tmp_path: Path) -> None:
    """Nobody has to wait for a slow model to stop the service."""
    await enqueue(root)
    async with serve_script(Slowly(5.0), tmp_path / "m.sock"), daemon(root) as service:
        await service.until(lambda: any("doc.frontmatter" in one for one in service.said), "the agent")
        service.process.terminate()
        await service.heard("STATUS=the daemon stops: the night finishes what runs")
        assert await service.end() == 0
        assert "STATUS=the daemon stops: the night is cancelled" in service.manager.listen()


async def test_kill_nine_takes_the_night_along_and_the_next_daemon_starts_cleanly(
    root: Path, tmp_path: Path
) -> None:
    """No night outlives its daemon; lock and night are taken up again by the next one."""
    await enqueue(root)
    script = Slowly(1.0)
    async with serve_script(script, tmp_path / "m.sock"):
        async with daemon(root) as service:
            await service.until(lambda: any("doc.frontmatter" in one for one in service.said), "the agent")
            [child] = children_of(service.process.pid)
            service.process.kill()
            await service.process.wait()
            await service.until(lambda: not is_alive(child), "the night's end")
        script.delay_s = 0.0
        async with daemon(root) as service:
            await service.heard("STATUS=the night ended with exit code 0")
            assert await service.end() == 0


async def test_what_a_spent_night_has_left_waits_for_the_next_window(root: Path, tmp_path: Path) -> None:
    """The daemon starts no second night for it and says what waits; a person's own night takes it up at once."""
    for hour in (11, 12):
        (root / "docs" / f"2026.02.04.{hour}.11.md").write_bytes(NOTE)
    git(root, "add", "docs")
    git(root, "commit", "-qm", "More notes")
    policy = root / "policies" / "night.toml"
    policy.write_text(policy.read_text().replace("[budget]\n", "[budget]\nsteps = 1\n", 1))
    await enqueue(root)
    async with serve_script(SCRIPT, tmp_path / "m.sock"), daemon(root) as service:
        await service.heard("STATUS=the night ended with exit code 5")
        await service.heard("that a night has not reached wait for the next window")
        first = json.loads(await pantheon(root, "status", "--json"))
        assert first["left_tasks"] == first["night"]["outcomes"]["not_reached"] > 0
        code, told = await finish(root, "night", "--left-before", "2026-01-01T00:00:00+00:00")
        assert (code, told) == (0, "")
        code, _ = await finish(root, "night")
        assert code == 5
        assert await service.end() == 0
        assert sum("STATUS=started" in one for one in service.manager.listen()) == 1
    second = json.loads(await pantheon(root, "status", "--json"))
    assert second["night"]["id"] != first["night"]["id"]
    assert second["night"]["tasks"] == first["left_tasks"]


async def test_a_second_daemon_is_refused_by_name(root: Path) -> None:
    """One daemon for each repository; the second one says which process holds it, and harms nothing."""
    async with daemon(root) as service:
        await service.heard("STATUS=nothing to do")
        async with daemon(root) as second:
            await second.process.wait()
            assert second.process.returncode == 4
            await second.until(lambda: bool(second.said), "a message")
            assert f"a daemon runs already over {root}" in second.said[0]
            assert f"process {service.process.pid} " in second.said[0]
        assert await service.end() == 0


async def test_sighup_reads_the_policy_again_and_keeps_the_old_one_when_it_is_wrong(root: Path) -> None:
    """RELOADING, then READY; a wrong file changes nothing and is named."""
    async with daemon(root) as service:
        await service.heard("STATUS=nothing to do")
        with_window(root, ALWAYS.replace("00:00'\nl", "99:00'\nl"))
        service.process.send_signal(signal.SIGHUP)
        await service.heard("STATUS=the old policy stays in force: policies/night.toml: window.end")
        with_window(root, "")
        service.process.send_signal(signal.SIGHUP)
        await service.heard("STATUS=the policy was read again")
        await service.until(
            lambda: service.manager.listen()[-1] != "STATUS=the policy was read again", "the next"
        )
        lines = service.manager.listen()
        assert lines[lines.index("RELOADING=1") + 1].startswith("MONOTONIC_USEC=")
        assert lines.count("READY=1") == 3
        assert await service.end(signal.SIGINT) == 130


async def test_a_wrong_policy_at_the_start_is_refused_before_it_is_ready(root: Path) -> None:
    """Exit code 2, the key by name, and no READY."""
    with_window(root, "start = '25:00'")
    async with daemon(root) as service:
        assert await service.process.wait() == 2
        await service.until(lambda: any("window.start" in one for one in service.said), "the key")
        assert "READY=1" not in service.manager.listen()


def children_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
