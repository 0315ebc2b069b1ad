"""One server process of somebody else's program, and the lock that says who looks after it.

Invariants:
- the process gets an allow-list of the environment: no proxy, no credentials;
- all it says is in its log; all of its children go when it is stopped;
- the kernel asks it to end when whoever started it is killed, who can do nothing about it any more;
- there is one supervisor per lock, and the lock goes with it, however it goes.
"""

import asyncio
import ctypes
import fcntl
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pantheon.adapters.own_files import ask_lock, open_lock, open_log
from pantheon.adapters.threads import take_in_thread
from pantheon.core.errors import ModelError, PreflightError

INHERITED = ("CUDA_VISIBLE_DEVICES", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")
"""Variables of our own that the process gets."""
PR_SET_PDEATHSIG = 1
ORPHANED = 3
"""Exit code of a server whose supervisor was gone before it began."""
MAX_TOLD_BYTES = 300
"""Most that a lock tells of what its holder does."""


@contextmanager
def hold_supervisor(lock: Path) -> Iterator[Callable[[str], None]]:
    """Be the one supervisor for the length of a ``with``; the file tells who it is, and what it was last told to say.

    Raises:
        PreflightError: another one is, or the file cannot be made or written.
    """
    try:
        descriptor = open_lock(lock)
    except OSError as error:
        raise PreflightError(f"{lock}: cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PreflightError(
                f"process {_read_pid(descriptor)} looks after the server already",
                hint="pantheon server status; pantheon server stop",
            ) from error
        try:
            _write_supervisor(descriptor, "")
        except OSError as error:
            raise PreflightError(f"{lock}: cannot be written: {error.strerror}") from error

        def tell(said: str) -> None:
            # A disk that is full is no reason to end a server that is well; who holds the lock stands there already.
            with suppress(OSError):
                _write_supervisor(descriptor, said)

        yield tell
    finally:
        os.close(descriptor)


def find_supervisor(lock: Path) -> int | None:
    """Return the process that looks after the server; None when none does."""
    try:
        return ask_lock(lock, _read_pid)
    except OSError:
        return None


def read_supervisor(lock: Path) -> str:
    """Return what the process that looks after the server said last; empty when none does."""
    try:
        return ask_lock(lock, _read_told) or ""
    except OSError:
        return ""


async def start_process(
    command: Sequence[str], extra: Mapping[str, str], environment: Mapping[str, str], log: Path
) -> asyncio.subprocess.Process:
    """Start a server in a session of its own. Raises ``ModelError``."""
    inherited = {name: environment[name] for name in INHERITED if name in environment}
    try:
        descriptor = await take_in_thread(lambda: open_log(log), os.close)
    except OSError as error:
        raise ModelError(f"the server's log {log} cannot be opened: {error.strerror}") from error
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env={**inherited, **extra},
            # ``python -m`` looks for modules where it is started, which would be in somebody's repository.
            cwd="/",
            start_new_session=True,
            preexec_fn=_ends_with(os.getpid()),
        )
    except OSError as error:
        raise ModelError(
            f"{command[0]}: the server cannot be started: {error.strerror}", hint="Mend vllm.python."
        ) from error
    finally:
        os.close(descriptor)


def _ends_with(parent: int) -> Callable[[], None]:
    """Return what a server does before it becomes its program; the thread that starts it has to be the main one."""
    library = ctypes.CDLL(None)

    def bind() -> None:
        # Asked, not killed: only a server that ends by itself takes its engine's processes along.
        library.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(ORPHANED)

    return bind


async def stop_process(process: asyncio.subprocess.Process, *, grace_s: float) -> None:
    """End a server and its children: asked first, killed after the grace. Cancelled, it is killed at once."""
    try:
        if process.returncode is None:
            _send(process.pid, signal.SIGTERM)
            async with asyncio.timeout(grace_s):
                await process.wait()
    except TimeoutError:
        return
    finally:
        # Children of a server that has ended are still in its group.
        _send(process.pid, signal.SIGKILL)
        await process.wait()


def _send(group: int, signum: int) -> None:
    try:
        os.killpg(group, signum)
    except ProcessLookupError:
        return


def measure_group(group: int) -> float:
    """Return the processor time that the living processes of a group have used, in seconds. Blocks."""
    ticks = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # What follows the name, which may hold anything: state, parent, group ... and the 12th and 13th are times.
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if len(fields) > 12 and int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _write_supervisor(descriptor: int, said: str) -> None:
    line = " ".join(said.split()).encode()[:MAX_TOLD_BYTES]
    data = b"%d\n%s\n" % (os.getpid(), line)
    # Cut afterwards: whoever reads meanwhile finds who holds it, and only the line behind that.
    os.pwrite(descriptor, data, 0)
    os.truncate(descriptor, len(data))


def _read_pid(descriptor: int) -> int:
    said = os.pread(descriptor, 32, 0).partition(b"\n")[0].strip()
    return int(said) if said.isdigit() else 0


def _read_told(descriptor: int) -> str:
    told = os.pread(descriptor, MAX_TOLD_BYTES + 33, 0).partition(b"\n")[2].partition(b"\n")[0]
    return told.decode("utf-8", "replace").strip()
