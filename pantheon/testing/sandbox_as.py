"""The real sandbox used by another user of the machine: a child process that leaves root and runs what it is told.

    sandbox = await SandboxAs.start(60_321)

The child reads one JSON line a run from standard input and answers with one. It imports everything before it leaves
root, for the interpreter may lie where the other user cannot read.
"""

import asyncio
import base64
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.sandbox.bubblewrap import open_bubblewrap
from pantheon.core.errors import SandboxError
from pantheon.core.sandbox import SandboxKind, SandboxLimits, SandboxResult

MAX_LINE_BYTES = 64 << 20
_BYTES = ("stdout", "stderr")


class SandboxAs:
    """``ports.sandbox.Sandbox`` in a child process of another user; one run at a time."""

    kind = SandboxKind.BUBBLEWRAP

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._turn = asyncio.Lock()

    @classmethod
    async def start(
        cls, uid: int, env: Mapping[str, str] | None = None, keep: Sequence[int] = ()
    ) -> "SandboxAs":
        """Start the child.

        Args:
            uid: the user and group that it becomes.
            env: variables that it is started with, beside this process's own.
            keep: descriptors that it inherits, and leaves inheritable.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pantheon.testing.sandbox_as", str(uid),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **(env or {})}, pass_fds=tuple(keep), limit=MAX_LINE_BYTES,
        )  # fmt: skip
        return cls(process)

    async def run(
        self, argv: Sequence[str], tree: Path, limits: SandboxLimits, *, env: Mapping[str, str] | None = None
    ) -> SandboxResult:
        told = {"argv": list(argv), "tree": str(tree), "limits": limits.model_dump(), "env": dict(env or {})}
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise SandboxError("the other user's process has no pipes")
        async with self._turn:
            stdin.write(json.dumps(told).encode() + b"\n")
            await stdin.drain()
            line = await stdout.readline()
        if not line:
            raise SandboxError("the other user's process is gone")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SandboxError(answer["error"])
        result = answer["result"]
        return SandboxResult(**{**result, **{name: base64.b64decode(result[name]) for name in _BYTES}})

    async def aclose(self) -> None:
        """End the child, and with it whatever it runs."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()


async def _serve(uid: int) -> None:
    loop = asyncio.get_running_loop()
    sandbox = open_bubblewrap(SystemClock())
    await asyncio.to_thread(os.getuid)  # the threads' own imports
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        told = json.loads(line)
        try:
            result = await sandbox.run(
                told["argv"], Path(told["tree"]), SandboxLimits(**told["limits"]), env=told["env"]
            )
        except SandboxError as error:
            answer: dict[str, Any] = {"error": str(error)}
        else:
            plain = {name: base64.b64encode(getattr(result, name)).decode() for name in _BYTES}
            answer = {"result": {**result.model_dump(exclude=set(_BYTES)), **plain}}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
