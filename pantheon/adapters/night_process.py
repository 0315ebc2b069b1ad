"""A night as a child process: ``python -m pantheon -C ROOT night --until INSTANT``.

Invariants:
- the kernel kills the child when this process dies, however it dies; the night's store survives that;
- the child leads a session of its own, so that Ctrl-C on a terminal reaches it only through the daemon, and all that
  it started can be killed with it;
- it does not get the daemon's notification socket.

Accepted trade-off: ``preexec_fn``, which is safe only while no other thread holds a lock that the child needs; it calls
``prctl`` and ``getppid``, and nothing of Python's beyond.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pantheon.core.errors import PantheonError

PR_SET_PDEATHSIG = 1
ORPHANED = 4


class ChildNight:
    """``ports.daemon.NightProcess`` over a child process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        return await self._process.wait()

    def ask(self) -> None:
        # The name of a process that has ended and was waited for may be somebody else's by now.
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def pantheon_command(root: Path, *words: str) -> tuple[str, ...]:
    """Return the command line that runs this very installation on a repository."""
    return (sys.executable, "-P", "-m", "pantheon", "-C", str(root), *words)


async def start_child(command: Sequence[str], variables: Mapping[str, str], *, cwd: Path) -> ChildNight:
    """Start a child that ends with this process; what it writes goes to this process's stderr.

    Args:
        command: program and arguments.
        variables: its whole environment.
        cwd: its folder.

    Raises:
        PantheonError: it cannot be started.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=2,
            cwd=cwd,
            env=dict(variables),
            start_new_session=True,
            preexec_fn=_dies_with(os.getpid()),
        )
    except OSError as error:
        raise PantheonError(f"{command[0]} cannot be started: {error.strerror or error}") from error
    return ChildNight(process)


def _dies_with(parent: int) -> Callable[[], None]:
    """Return what the child does before it becomes another program."""
    library = ctypes.CDLL(None)

    def bind() -> None:
        library.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(ORPHANED)

    return bind
