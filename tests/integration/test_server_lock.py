"""What a supervisor bears: a full disk, its own violent end, a closed terminal, a page without end."""

import asyncio
import errno
import fcntl
import os
import signal
import sys
from pathlib import Path

import pytest

from pantheon.adapters.local_http import local_client
from pantheon.adapters.served_process import find_supervisor, hold_supervisor, read_supervisor
from pantheon.core.errors import ModelTimeoutError, PreflightError
from pantheon.shell.cli import server
from pantheon.shell.cli.context import Session
from pantheon.shell.config import Project, load_project
from pantheon.shell.vllm_watch import _look

GUARD_S = 30.0
SUPERVISOR = """
import asyncio, os, pathlib, sys
from pantheon.adapters.served_process import start_process
async def main():
    process = await start_process(["/bin/sleep", "60"], {}, os.environ, pathlib.Path(sys.argv[1]))
    print(process.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_what_was_said_last_is_all_that_the_lock_tells(tmp_path: Path) -> None:
    """Nothing of a longer word is left behind a shorter one, whenever it is read."""
    lock = tmp_path / "server.lock"
    with hold_supervisor(lock) as tell:
        tell("a long word\nof two lines")
        assert (find_supervisor(lock), read_supervisor(lock)) == (os.getpid(), "a long word of two lines")
        tell("short")
        assert read_supervisor(lock) == "short"


def test_the_lock_says_who_holds_it_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two writes it is never empty: nobody is told that process 0 looks after the server."""
    lock = tmp_path / "server.lock"
    seen: list[tuple[int | None, str]] = []

    def cut(descriptor: int, length: int) -> None:
        seen.append((find_supervisor(lock), read_supervisor(lock)))
        os.ftruncate(descriptor, length)
        seen.append((find_supervisor(lock), read_supervisor(lock)))

    with hold_supervisor(lock) as tell:
        tell("a long word")
        monkeypatch.setattr(os, "truncate", cut)
        tell("short")
    assert seen == [(os.getpid(), "short")] * 2


def test_a_full_disk_ends_no_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only who cannot say at all that it looks after the server is refused."""
    lock = tmp_path / "server.lock"

    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with hold_supervisor(lock) as tell:
        tell("before")
        monkeypatch.setattr(os, "pwrite", full)
        tell("after")
        assert (find_supervisor(lock), read_supervisor(lock)) == (os.getpid(), "before")
    with pytest.raises(PreflightError, match="No space left"), hold_supervisor(lock):
        raise AssertionError("nobody knows who holds it")
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


async def test_a_killed_supervisor_takes_its_server_along(tmp_path: Path) -> None:
    """The kernel asks the server to end: nobody is left who would."""
    async with asyncio.timeout(GUARD_S):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-c", SUPERVISOR, str(tmp_path / "log"), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        pid = int(await process.stdout.readline())
        os.kill(pid, 0)
        process.kill()
        await process.wait()
        while is_alive(pid):  # noqa: ASYNC110  the process is not ours to wait for
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet does not."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False


async def test_a_closed_terminal_ends_the_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGHUP is like SIGTERM, but for whoever was told to ignore it (``nohup``)."""
    asked: list[bool] = []

    async def supervise(project: Project, *, stopping: asyncio.Event, **rest: object) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0.05)
        asked.append(stopping.is_set())

    monkeypatch.setattr(server, "supervise", supervise)
    project = project_in(tmp_path)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        await server._supervise(project)
        signal.signal(signal.SIGHUP, lambda *_: None)
        await server._supervise(project)
    finally:
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(one)
        signal.signal(signal.SIGHUP, before)
    assert asked == [False, True]


async def test_the_page_of_health_is_not_read(tmp_path: Path) -> None:
    """Whoever has the address may send a page without end: that it is well is in its first line."""

    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        if b"/health" in await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\nx")
            await reader.read()
        writer.close()
        await writer.wait_closed()

    path = str(tmp_path / "s")
    async with await asyncio.start_unix_server(serve, path):
        async with local_client("http://localhost", uds=path) as http:
            assert await _look(http, GUARD_S) == (True, None)
        await asyncio.wait([one for one in served if one is not None], timeout=GUARD_S)


async def test_who_waits_in_vain_for_the_background_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error with words, after the time that waiting for somebody else and then loading may take."""

    class Child:
        pid = 7

        def poll(self) -> None:
            return None

    monkeypatch.setattr(server, "start_supervisor", lambda words, log: Child())
    monkeypatch.setattr(server, "DETACH_MARGIN_S", 0.01 - 2 * 900)
    with pytest.raises(ModelTimeoutError, match="did not answer within") as caught:
        await server._detach(Session(start=tmp_path), project_in(tmp_path))
    assert "supervisor.log" in caught.value.hint
    assert "process 7" in caught.value.hint


def project_in(folder: Path) -> Project:
    """Return a project whose server nobody has started."""
    (folder / ".git").mkdir()
    (folder / "policies").mkdir()
    (folder / "pantheon.toml").write_text(
        f'[endpoint]\nkind = "openai"\nuds = "{folder}/s.sock"\n[vllm]\nmodel = "m"\n'
    )
    return load_project(folder)
