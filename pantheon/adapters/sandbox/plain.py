"""No sandbox, for owners whose policy says ``sandbox = "none"``: limits and a closed environment, nothing more.

What the program can reach of the machine, its network included, is what this process can.
"""

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pantheon.adapters.sandbox.process import Launch, run_process, wait_for_end
from pantheon.core.errors import SandboxError
from pantheon.core.sandbox import SandboxKind, SandboxLimits, SandboxResult, check_command
from pantheon.ports.clock import Clock

_END_S = 5.0


class PlainProcess:
    """``ports.sandbox.Sandbox`` without confinement.

    Trade-off: a descendant that left the process group outlives the run. Only a process namespace prevents that.
    """

    kind = SandboxKind.NONE

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def run(
        self, argv: Sequence[str], tree: Path, limits: SandboxLimits, *, env: Mapping[str, str] | None = None
    ) -> SandboxResult:
        check_command(tuple(argv), env or {})
        command = (
            "/usr/bin/prlimit", f"--as={limits.memory_bytes}", f"--fsize={limits.file_bytes}",
            f"--cpu={limits.cpu_s}", f"--nofile={limits.open_files}", "--core=0", "--", *argv,
        )  # fmt: skip
        closed = {"HOME": "/nonexistent", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", **(env or {})}
        return await run_process(
            Launch(command, _end_group, closed, tree, cwd=str(tree)), limits, self._clock
        )


def _end_group(pid: int, pidfd: int | None) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    if pidfd is not None and not wait_for_end(pidfd, _END_S):
        raise SandboxError(f"the program does not end: process {pid} did not die within {_END_S:.0f} s")
