"""A daemon that is killed leaves no night behind, whoever runs it: namespaces do not untie the two."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pantheon.testing.as_user import OtherUser
from pantheon.testing.scripted_model import Reply, Say, ScriptedServer
from pantheon.testing.user_repository import make_repository

NOTE = b"wombat uploads fail in CI about once a day, because the store answers 503 while it rebalances.\n"
OTHER_USER = 60_327
DEADLINE_S = 30.0
pytestmark = pytest.mark.primitive("pdeathsig")


class Keeper:
    """Whoever runs the daemon, and what he sees."""

    def __init__(self, top: Path, uid: int) -> None:
        self.other = OtherUser(uid, top) if uid else None
        self.root = make_repository(top / "r", {"docs/2026.02.03.10.11.md": NOTE})
        self.socket = top / "m.sock"
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, uid, uid)
        self.home = top / "home"

    def words(self, *words: str) -> list[str]:
        return self.other.pantheon(*words) if self.other else [sys.executable, "-m", "pantheon", *words]

    def environment(self) -> Mapping[str, str]:
        own = {"PANTHEON_ENDPOINT_KIND": "openai", "PANTHEON_ENDPOINT_UDS": str(self.socket)}
        own["TZ"] = zone_of_noon()
        if self.other:
            return self.other.environment(**own)
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8", **own}

    async def run(self, *words: str, stdin: bytes = b"") -> bytes:
        process = await self.start(*words)
        out, err = await process.communicate(stdin)
        assert process.returncode == 0, err
        return out

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *self.words(*words), cwd=self.root, env=self.environment(), stdin=pipe, stdout=pipe, stderr=pipe
        )

    async def prepare(self) -> None:
        """Lay out the repository, always open, and queue its note."""
        await self.run("init")
        keep_open(self.root / "policies" / "night.toml")
        await self.run("enqueue", "-", stdin=await self.run("scope", "docops", "docs/*.md"))


def zone_of_noon() -> str:
    """Return a time zone in which it is about noon now, so that no window ends and no day turns during a test."""
    ahead = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-ahead:+d}"


def keep_open(policy: Path) -> None:
    text = policy.read_text().replace('"22:00"', '"00:00"').replace('"06:00"', '"00:00"')
    policy.write_text(text.replace("last_start_s = 900", "last_start_s = 0"))


@contextlib.contextmanager
def keeper(uid: int) -> Iterator[Keeper]:
    with tempfile.TemporaryDirectory(prefix="pantheon-death-") as folder:
        Path(folder).chmod(0o755)
        yield Keeper(Path(folder), uid)


@contextlib.asynccontextmanager
async def serving(script: Callable[[Mapping[str, Any]], Reply], place: Path) -> AsyncIterator[None]:
    server = await asyncio.start_unix_server(ScriptedServer(script).handle, place)
    await asyncio.to_thread(place.chmod, 0o666)
    async with server:
        yield


def endless(_: Mapping[str, Any]) -> Reply:
    return Say("word " * 1_000, delay_s=1.0)


def below(pid: int) -> set[int]:
    """Return all that a process has started, at any depth, and that lives."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return set()
    return {int(one) for one in children} | {deep for one in children for deep in below(int(one))}


def alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.add(pid)
    return found


async def night_of(process: asyncio.subprocess.Process) -> set[int]:
    """Wait until the daemon's night asks its model, and return all its processes."""
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE_S):
        async for line in process.stderr:
            if b"doc.frontmatter" in line:
                return below(process.pid)
    raise AssertionError("no night")


@pytest.mark.parametrize("uid", [0, OTHER_USER])
async def test_kill_nine_of_the_daemon_ends_its_contained_night(uid: int) -> None:
    """The night moved itself into namespaces of its own, and dies with its parent all the same, its signer too."""
    with keeper(uid) as one:
        await one.prepare()
        async with serving(endless, one.socket):
            process = await one.start("daemon")
            night = await night_of(process)
            assert alive(night) == night
            assert len(night) >= 2, "the night and its signer"
            process.send_signal(signal.SIGKILL)
            await process.communicate()
            for _ in range(1_000):
                if not alive(night):
                    break
                await asyncio.sleep(0.02)
            assert alive(night) == set()


async def test_without_the_tie_a_night_would_live_on(tmp_path: Path) -> None:
    """Control: a child that was started the ordinary way outlives its parent's kill -9."""
    script = (
        "import subprocess as s, sys; p = s.Popen(['sleep', '30'], stdout=s.DEVNULL, stderr=s.DEVNULL);"
        "print(p.pid, flush=True); p.wait()"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE, cwd=tmp_path
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    await asyncio.sleep(0.2)
    assert alive({child}) == {child}
    os.kill(child, signal.SIGKILL)
