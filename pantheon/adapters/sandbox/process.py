"""One program's life: started without a shell, read up to a ceiling, ended in time and with all that it started.

How a sandbox ends what its program started is its own: the ``Undertaker`` that it gives.
"""

import asyncio
import contextlib
import os
import select
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pantheon.adapters.finishing import take
from pantheon.adapters.sandbox.capture import Capture, FloodError, open_capture
from pantheon.adapters.sandbox.disk import DiskError, guard_disk
from pantheon.adapters.threads import run_to_end
from pantheon.core.errors import SandboxError
from pantheon.core.sandbox import KillReason, SandboxLimits, SandboxResult, make_result
from pantheon.ports.clock import Clock

LAST_WORDS_S = 1.0
"""Seconds for what is left in the pipes, once nobody should be there to write to them."""

Undertaker = Callable[[int, int | None], None]
"""Ends the process and all that it started, and returns when they are gone. Blocks; called in a thread.

It gets the process's id, which is its group's too, and a descriptor of it (pidfd), None when it ended before one could
be had. Raises ``SandboxError`` when something does not die.
"""


@dataclass(frozen=True)
class Launch:
    """What is started, and how it is ended."""

    command: Sequence[str]
    bury: Undertaker
    env: Mapping[str, str]
    """The whole environment."""
    tree: Path
    """Its disk is watched."""
    admit: Callable[[], None] | None = None
    """Called in a thread once the process is there, to let it go on. Raises ``SandboxError``."""
    cwd: str = "/"
    inherit: Sequence[int] = ()
    """Descriptors that the process gets; every other one is closed to it."""
    makes_session: bool = False
    """Whether the command gives its program a session itself, so that a process group is enough for the command: every
    session is a group of its own to the kernel's scheduler too, and making one takes milliseconds on a busy machine."""


async def run_process(launch: Launch, limits: SandboxLimits, clock: Clock) -> SandboxResult:
    """Run a command to its end, or to a ceiling.

    Raises:
        SandboxError: the command cannot be started, or something that it started does not die.

    Cancellation:
        Everything that it started is gone.
    """
    async with open_capture(limits.output_bytes) as out, open_capture(limits.output_bytes) as err:
        begun = clock.monotonic()

        async def bury(process: asyncio.subprocess.Process) -> None:
            await _bury_at_once(process, launch.bury)

        # One that is half started could be buried by nobody.
        process = await take(_start(launch, out, err), bury, name="sandbox start")
        out.close_write_end()
        err.close_write_end()
        try:
            killed = await _watch(process, launch, limits, (out, err))
        except SandboxError:
            await _reap(process)
            raise
        return make_result(
            await process.wait(),
            out.data,
            err.data,
            truncated=(out.truncated, err.truncated),
            killed=killed,
            duration_s=max(0.0, clock.monotonic() - begun),
        )


def wait_for_end(pidfd: int, timeout_s: float) -> bool:
    """Tell whether the process of ``pidfd`` has ended, waiting for it at most ``timeout_s`` seconds."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(timeout_s * 1000))


async def _bury_at_once(process: asyncio.subprocess.Process, bury: Undertaker) -> None:
    pidfd = _open_process(process.pid)
    try:
        await run_to_end(lambda: bury(process.pid, pidfd))
    finally:
        if pidfd is not None:
            os.close(pidfd)
    await _reap(process)


async def _reap(process: asyncio.subprocess.Process) -> None:
    """Let the loop hear that a buried process has ended, so that nothing of it outlives the call there either."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS_S):
            await process.wait()


def _open_process(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


async def _start(launch: Launch, out: Capture, err: Capture) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *launch.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out.write_end,
            stderr=err.write_end,
            env=launch.env,
            cwd=launch.cwd,
            close_fds=True,
            pass_fds=tuple(launch.inherit),
            start_new_session=not launch.makes_session,
            process_group=0 if launch.makes_session else None,
        )
    except (OSError, ValueError) as error:
        raise SandboxError(f"{launch.command[0]} could not be started: {error}") from error


async def _watch(
    process: asyncio.subprocess.Process, launch: Launch, limits: SandboxLimits, captures: Sequence[Capture]
) -> KillReason | None:
    """Return why the run was ended from outside; None when it ended by itself."""
    pidfd = _open_process(process.pid)
    problems: list[SandboxError] = []
    killed: KillReason | None = None
    before = _cancellations()
    try:
        try:
            async with asyncio.TaskGroup() as group:
                drains = [
                    group.create_task(capture.drain(), name=f"sandbox output {number}")
                    for number, capture in enumerate(captures, start=1)
                ]
                guard = group.create_task(guard_disk(launch.tree, limits), name="sandbox disk")
                killed = await _outlast(process, limits.wall_s, pidfd, launch, problems)
                guard.cancel()
                await asyncio.wait(drains, timeout=LAST_WORDS_S)
                for drain in drains:
                    drain.cancel()
        except* FloodError:
            killed = killed or KillReason.OUTPUT
        except* DiskError:
            killed = killed or KillReason.DISK
    finally:
        if pidfd is not None:
            os.close(pidfd)
    if _cancellations() > before:
        # The group told of the flood instead: who called the run off would work on with its result.
        raise asyncio.CancelledError from (problems[0] if problems else None)
    if problems:
        raise problems[0]
    return killed


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


async def _outlast(
    process: asyncio.subprocess.Process,
    wall_s: float,
    pidfd: int | None,
    launch: Launch,
    problems: list[SandboxError],
) -> KillReason | None:
    """Wait for the process, then end what it left; what does not die is put into ``problems``."""
    try:
        if launch.admit is not None:
            await run_to_end(launch.admit)
        async with asyncio.timeout(wall_s):
            await process.wait()
    except TimeoutError:
        return KillReason.DEADLINE
    except SandboxError as error:
        problems.append(error)
    finally:
        try:
            await run_to_end(lambda: launch.bury(process.pid, pidfd))
        except SandboxError as error:
            problems.append(error)
    return None
