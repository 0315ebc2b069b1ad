"""Links, pipes and other people's files in the place of Pantheon's own: logs, locks and what it remembers."""

import asyncio
import os
import stat
import subprocess
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.calibration_files import ResultFile, write_qualifications
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.daemon_files import LastSeen
from pantheon.adapters.git.tree_state import TreeState, hold
from pantheon.adapters.llama_server import EmbeddedServer, ServerSettings
from pantheon.adapters.own_files import open_log, read_end, read_small, replace_small
from pantheon.adapters.served_process import find_supervisor, hold_supervisor, start_process, stop_process
from pantheon.adapters.server_file import FILE as SERVERS
from pantheon.adapters.server_file import read_servers, remember_server
from pantheon.adapters.signer_child import signer_child
from pantheon.adapters.store import hold_night, night_holder
from pantheon.core.calibration import CaseResult
from pantheon.core.errors import ConfigError, PantheonError
from pantheon.core.qualification import QUALIFICATIONS_FILE
from pantheon.core.server_capabilities import ServerCapabilities
from pantheon.shell.judges import read_qualifications
from pantheon.shell.vllm_wiring import start_supervisor

VICTIM = b"a file of somebody's\n"
OTHER_USER = 60_324
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
Use = Callable[[Path], Coroutine[Any, Any, object]]


async def signer(path: Path) -> None:
    """Start a night's own signer that logs to ``path``."""
    key = path.parents[1] / "keys" / "night.ed25519"
    async with signer_child(
        key, outside=path.parent, log=path, environment=ENVIRONMENT, clock=SystemClock()
    ) as child:
        assert child.public_key


async def supervisor(path: Path) -> None:
    """Start what ``server start --detach`` starts, with a program that only speaks."""
    child = await asyncio.to_thread(start_supervisor, ["/bin/echo", "said"], path)
    assert await asyncio.to_thread(child.wait, 10) == 0


async def served(path: Path) -> None:
    """Start a model server of somebody's that logs to ``path``."""
    process = await start_process(["/bin/echo", "said"], {}, {}, path)
    await process.wait()
    await stop_process(process, grace_s=1)


async def embedded(path: Path) -> None:
    """Start the embedded model server; it gets as far as its log, for there is no model."""
    server = EmbeddedServer(
        path.parents[1] / "none.gguf", model_sha256="0" * 64, alias="m", settings=ServerSettings(),
        log=path, environment=ENVIRONMENT, clock=SystemClock(),
    )  # fmt: skip
    try:
        async with server:
            raise AssertionError("there is no model")
    except PantheonError as error:
        if "cannot be started" in error.message:
            raise


async def supervisor_lock(path: Path) -> None:
    with hold_supervisor(path):
        assert await asyncio.to_thread(find_supervisor, path) == os.getpid()


async def night_lock(path: Path) -> None:
    async with hold_night(path.with_suffix(""), SystemClock()):
        assert await night_holder(path.with_suffix("")) is not None


async def results(path: Path) -> None:
    await ResultFile(path).add(CaseResult.model_construct(case="c"))


async def tree_state(path: Path) -> None:
    async with hold(path) as state:
        state.write(TreeState("me", None))


WRITTEN: dict[str, tuple[str, Use]] = {
    "log of the signer": ("logs/signer.log", signer),
    "log of the supervisor": ("logs/supervisor.log", supervisor),
    "log of vLLM": ("logs/vllm.log", served),
    "log of the embedded server": ("logs/server.log", embedded),
    "lock of the supervisor": ("server.lock", supervisor_lock),
    "lock of the night": ("pantheon.db.lock", night_lock),
    "state of a work tree": ("trees/00.state", tree_state),
    "results of a calibration": ("logs/results.jsonl", results),
}
LOCKS = {"lock of the supervisor", "lock of the night", "state of a work tree"}
PLANTED = ("link", "link to nothing", "second name", "pipe", "folder", "of somebody else")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_bytes(VICTIM)
    return path


def plant(path: Path, victim: Path, what: str) -> None:
    """Put something into the place of a file of ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if what == "link":
        path.symlink_to(victim)
    elif what == "link to nothing":
        path.symlink_to(victim.with_name("made"))
    elif what == "second name":
        os.link(victim, path)
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.write_bytes(VICTIM)
        os.chown(path, OTHER_USER, OTHER_USER)


def untouched(victim: Path) -> bool:
    """Tell whether nothing was written into the file that is not ours, nor made beside it."""
    return victim.read_bytes() == VICTIM and not victim.with_name("made").exists()


def said(path: Path) -> None:
    """Add to a log as a plain program does."""
    with path.open("ab") as file:
        file.write(b"said")


@pytest.mark.parametrize("name", WRITTEN)
async def test_control_what_is_made_is_this_users_alone(tmp_path: Path, name: str) -> None:
    """Where nothing is in the way each is made, with mode 0600, and one that others could read is closed to them."""
    place, use = WRITTEN[name]
    path = tmp_path / "state" / place
    path.parent.mkdir(mode=0o700, parents=True)
    await use(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    await use(path)
    assert path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "fresh").mkdir()
    open_log_folder = tmp_path / "fresh" / "logs"
    os.close(open_log(open_log_folder / "x.log"))
    assert open_log_folder.stat().st_mode & 0o777 == 0o700


def test_control_a_plain_program_writes_where_it_is_led(tmp_path: Path, victim: Path) -> None:
    """Through a link and a second name into somebody's file, by a link to nothing anywhere; a pipe holds it up."""
    for what in ("link", "second name", "link to nothing"):
        plant(tmp_path / what / "x.log", victim, what)
        said(tmp_path / what / "x.log")
    assert victim.read_bytes() == VICTIM + b"said" * 2
    assert (tmp_path / "made").read_bytes() == b"said"
    plant(tmp_path / "pipe" / "x.log", victim, "pipe")
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["/bin/sh", "-c", f"echo said >> {tmp_path}/pipe/x.log"], timeout=0.5, check=False)


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("name", WRITTEN)
async def test_what_is_written_is_written_nowhere_else(
    tmp_path: Path, victim: Path, name: str, what: str
) -> None:
    """Refused in the words of each, at once, and what it would have led to stays as it was.

    A lock with a second name is replaced by a fresh one.
    """
    place, use = WRITTEN[name]
    plant(tmp_path / "state" / place, victim, what)
    if what == "second name" and name in LOCKS:
        await use(tmp_path / "state" / place)
        assert untouched(victim) and os.stat(victim).st_nlink == 1
        assert (tmp_path / "state" / place).stat().st_mode & 0o777 == 0o600
        return
    async with asyncio.timeout(10):
        with pytest.raises(PantheonError) as refused:
            await use(tmp_path / "state" / place)
    assert refused.value.message
    assert untouched(victim)


@pytest.mark.parametrize("name", [name for name, (place, _) in WRITTEN.items() if "/" in place])
async def test_a_folder_of_logs_that_is_a_link_is_not_followed(tmp_path: Path, name: str) -> None:
    """Neither to a folder of somebody's nor to nothing; a plain program makes its file there (the control)."""
    place, use = WRITTEN[name]
    path = tmp_path / "state" / place
    outside = tmp_path / "outside"
    outside.mkdir()
    path.parent.parent.mkdir()
    path.parent.symlink_to(outside)
    said(path)
    assert (outside / path.name).read_bytes() == b"said", "the control"
    (outside / path.name).unlink()
    with pytest.raises(PantheonError):
        await use(path)
    path.parent.unlink()
    path.parent.symlink_to(tmp_path / "nowhere")
    with pytest.raises(PantheonError):
        await use(path)
    assert list(outside.iterdir()) == [] and not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("what", ["link", "pipe", "folder", "endless"])
async def test_what_is_remembered_is_read_from_a_file_of_ours(
    tmp_path: Path, victim: Path, what: str
) -> None:
    """A link is not followed, a pipe not waited for, a device not read; what is sound is read (the control)."""
    state = tmp_path / "state"
    state.mkdir()
    known = ServerCapabilities.model_validate(
        {
            "endpoint": "http://127.0.0.1:1",
            "asked_at": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
            "model": "m",
            "identity": "i",
        }
    )
    seen = datetime(2026, 1, 2, tzinfo=UTC)
    remember_server(state, known)
    await LastSeen(state / "seen").keep_last_seen(seen)
    assert (
        list(read_servers(state)) == [known.endpoint] and await LastSeen(state / "seen").last_seen() == seen
    )
    assert {path.stat().st_mode & 0o777 for path in state.iterdir()} == {0o600}
    for path in (state / SERVERS, state / "seen", state / "log"):
        kept = tmp_path / f"{path.name}.kept"
        if path.exists():
            path.rename(kept)
        else:
            kept.write_bytes(b"x")
        if what == "endless":
            os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
        else:
            plant(path, kept, what)
    async with asyncio.timeout(10):
        assert await asyncio.to_thread(read_servers, state) == {}
        assert await LastSeen(state / "seen").last_seen() is None
        for read in (lambda path: read_small(path, 10), lambda path: read_end(path, 10)):
            with pytest.raises(OSError, match=r"."):
                await asyncio.to_thread(read, state / "log")
        assert await asyncio.to_thread(find_supervisor, state / "log") is None
    if what != "folder":
        remember_server(state, known)
        write_qualifications(state / "seen", [])
        assert list(read_servers(state)) == [known.endpoint], (
            "what is replaced is replaced, and not what it led to"
        )
        assert (tmp_path / "seen.kept").read_bytes().startswith(b'{"last_seen"')


def test_a_lock_that_is_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    """Who only asks whether a night runs is told that the lock is none; a plain open would wait for ever."""
    os.mkfifo(tmp_path / "pantheon.db.lock")
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["/bin/cat", tmp_path / "pantheon.db.lock"], timeout=0.5, check=False)
    with pytest.raises(PantheonError, match="lock"):
        asyncio.run(asyncio.wait_for(night_holder(tmp_path / "pantheon.db"), 10))


async def test_a_file_system_without_modes_hinders_no_lock_that_nobody_else_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers every other mode with EPERM: borne where others may read at most, and not where they may write."""

    def refuse(_handle: int, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    path = tmp_path / "server.lock"
    for mode in (0o755, 0o644, 0o600):
        path.touch()
        path.chmod(mode)
        await supervisor_lock(path)
    for mode in (0o775, 0o777, 0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(PantheonError, match="Operation not permitted"):
            await supervisor_lock(path)


def test_a_lock_with_two_names_is_not_replaced_while_somebody_holds_it(tmp_path: Path, victim: Path) -> None:
    """Otherwise two would hold what each takes for the lock; once it is let go it is replaced."""
    lock = tmp_path / "server.lock"
    with hold_supervisor(lock):
        os.link(lock, tmp_path / "copy")
        with (
            pytest.raises(PantheonError, match="has a second name, and somebody holds it"),
            hold_supervisor(lock),
        ):
            raise AssertionError("two hold it")
        assert lock.samefile(tmp_path / "copy")
    with hold_supervisor(lock):
        assert not lock.samefile(tmp_path / "copy")
        with pytest.raises(PantheonError), hold_supervisor(lock):
            raise AssertionError("two hold it")


async def test_root_works_on_the_files_of_whose_folder_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who owns the folder could write them anyway; those of a third one are refused, and anybody's to any other."""
    folder = tmp_path / "state"
    lock = folder / "server.lock"
    plant(lock, lock, "of somebody else")
    with pytest.raises(PantheonError, match="another user"):
        await supervisor_lock(lock)
    os.chown(folder, OTHER_USER, OTHER_USER)
    await supervisor_lock(lock)
    assert lock.stat().st_uid == OTHER_USER
    monkeypatch.setattr(os, "geteuid", lambda: OTHER_USER + 1)
    with pytest.raises(PantheonError, match="another user"):
        await supervisor_lock(lock)


def test_what_is_replaced_is_whole_after_a_power_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content is on the disk before it gets its name, and the name before anybody is told."""
    done: list[str] = []
    sync, rename = os.fsync, os.replace

    def synced(handle: int) -> None:
        done.append(
            "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{os.fstat(handle).st_size} bytes"
        )
        sync(handle)

    def renamed(*names: str, **folders: int) -> None:
        done.append("named")
        rename(*names, **folders)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    replace_small(tmp_path / "config", b"[core]\n")
    assert done == ["7 bytes", "named", "folder"]


@pytest.mark.parametrize("what", ["link", "link to nothing", "pipe", "folder"])
def test_qualifications_are_read_from_a_file_alone(tmp_path: Path, victim: Path, what: str) -> None:
    """Through a link, even one to nothing, nobody qualifies and the reader says so; no file is none (the control)."""
    assert read_qualifications(tmp_path / "state" / QUALIFICATIONS_FILE) == ()
    plant(tmp_path / "state" / QUALIFICATIONS_FILE, victim, what)
    with pytest.raises(ConfigError, match=QUALIFICATIONS_FILE):
        read_qualifications(tmp_path / "state" / QUALIFICATIONS_FILE)
