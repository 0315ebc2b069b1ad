"""A sandbox in memory: programs are functions, and limits are kept by arithmetic."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pantheon.core.errors import SandboxError
from pantheon.core.sandbox import (
    KillReason,
    SandboxKind,
    SandboxLimits,
    SandboxResult,
    check_command,
    make_result,
)

FOREVER = float("inf")


class Outcome:
    """What a program would do if nobody stopped it.

    Args:
        status: exit status; negative for a signal.
        stdout: what it says; more than the cap of a run is a flood.
        stderr: the same for standard error.
        takes_s: seconds that it takes.
    """

    def __init__(
        self, status: int = 0, *, stdout: bytes = b"", stderr: bytes = b"", takes_s: float = 0.0
    ) -> None:
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        self.takes_s = takes_s


Program = Callable[[Sequence[str], Path, Mapping[str, str]], Outcome]
"""Gets the words after the program's name, the tree, and the variables."""


class FakeSandbox:
    """``ports.sandbox.Sandbox`` for tests; no process is started, and time does not pass.

    Args:
        programs: name or path -> what it does; any other one is not there.
    """

    def __init__(
        self, programs: Mapping[str, Program], *, kind: SandboxKind = SandboxKind.BUBBLEWRAP
    ) -> None:
        self._programs = dict(programs)
        self.kind = kind
        self.calls: list[tuple[str, ...]] = []
        """The commands that were run, in order."""

    async def run(
        self, argv: Sequence[str], tree: Path, limits: SandboxLimits, *, env: Mapping[str, str] | None = None
    ) -> SandboxResult:
        check_command(argv, env or {})
        if not os.path.isdir(tree):  # noqa: PTH112, ASYNC240 (a fake waits for nothing)
            raise SandboxError(f"{tree}: the candidate tree is not there")
        self.calls.append(tuple(argv))
        program = self._programs.get(argv[0])
        if program is None:
            return make_result(
                127, b"", b"not there\n", truncated=(False, False), killed=None, duration_s=0.0
            )
        outcome = program(argv[1:], tree, env or {})
        cap = limits.output_bytes
        truncated = (len(outcome.stdout) > cap, len(outcome.stderr) > cap)
        killed = KillReason.OUTPUT if any(truncated) else None
        if killed is None and outcome.takes_s > limits.wall_s:
            killed = KillReason.DEADLINE
        return make_result(
            -9 if killed else outcome.status,
            outcome.stdout[:cap],
            outcome.stderr[:cap],
            truncated=truncated,
            killed=killed,
            duration_s=min(outcome.takes_s, limits.wall_s),
        )
