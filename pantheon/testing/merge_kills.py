"""Landings in forked processes that are killed at one of their git commands.

``python -m pantheon.testing.merge_kills`` reads one JSON line for each landing and answers with its exit status; only a
process with a single thread may fork, which a test runner is not.
"""

import asyncio
import json
import os
import signal
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.git.repository import NightRepository
from pantheon.core.records import NodeState
from pantheon.core.task import Task
from pantheon.testing.merging import BRANCH, MergeBench
from pantheon.testing.nursery import Nursery, serve
from pantheon.testing.user_repository import git, make_repository

How = Literal["before", "with"]
"""Die before the command is started, or together with it."""
KILLED, REFUSED = -signal.SIGKILL, 4
LINES = b"".join(b"%d\n" % n for n in range(20))
COMMANDS, ERRORS = "commands.json", "stderr.log"


class Landings:
    """Changes in front of a merge queue, in a folder.

    Args:
        folder: holds the user's repository (``user``) and what is Pantheon's (``state``).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "user"

    async def make(self, count: int) -> None:
        """Make a branch that has moved, and so many changes that were reviewed before it did."""
        await asyncio.to_thread(make_repository, self.root, {"a.txt": LINES, "b.txt": LINES})
        bench = await self._bench()
        await bench.land(await bench.change("first", "b.txt", 0, "moved"))
        made = [await bench.change(f"t{n}", "a.txt", 4 * n, f"word{n}") for n in range(count)]
        told = {one.task.id: [one.task.model_dump(mode="json"), one.input_commit] for one in made}
        (self.folder / "changes.json").write_text(json.dumps([bench.base, told]), encoding="utf-8")

    async def run(self, kills: "Kills") -> None:
        """Land all that waits.

        Raises:
            AssertionError: something did not land.
        """
        base, told = json.loads((self.folder / "changes.json").read_text(encoding="utf-8"))
        bench = await self._bench(base, batch=len(told))
        contexts = [bench.context(Task.model_validate(task), head, base) for task, head in told.values()]
        with kills:
            results = await bench.land_all(contexts)
        assert all(one.state is NodeState.SUCCEEDED for one in results), results

    async def _bench(self, base: str = "", batch: int = 1) -> MergeBench:
        repository = await NightRepository.open(
            self.root, self.folder / "state", trees=2, clock=SystemClock()
        )
        return MergeBench(
            repository, base or await repository.resolve("HEAD"), judge=lambda _: {"t": True}, batch=batch
        )

    def landed(self) -> tuple[str, ...]:
        """Return the keys of the tasks on the branch, the oldest first."""
        shown = "--format=%(trailers:key=Pantheon-Task,valueonly,separator=%x2C)"
        return tuple(git(self.root, "log", "--reverse", shown, f"main..{BRANCH}").split())


class Kills:
    """Counts the git commands of a ``with``, and kills this process at one of them.

    Args:
        at: at which command, from 1; None only counts.
        how: before it, or with everything that this process has started.
    """

    def __init__(self, at: int | None = None, how: How = "before") -> None:
        self.at, self.how = at, how
        self.commands: list[str] = []

    def __enter__(self) -> Self:
        self._start = asyncio.create_subprocess_exec

        async def started(*command: str, **more: Any) -> asyncio.subprocess.Process:
            self.commands.append(next(word for word in command[2:] if word != "-c" and "=" not in word))
            now = len(self.commands) == self.at
            if now and self.how == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            process = await self._start(*command, **more)
            if now:
                os.killpg(0, signal.SIGKILL)
            return process

        asyncio.create_subprocess_exec = started  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.create_subprocess_exec = self._start


class MergeNursery(Nursery):
    """Lands in children, which are killed where it is asked for."""

    def __init__(self) -> None:
        super().__init__("pantheon.testing.merge_kills")

    def run(self, folder: Path, at: int | None = None, how: How = "before") -> int:
        """Land what waits in a folder; return the exit status, negative for a signal.

        Raises:
            RuntimeError: the nursery is gone.
        """
        return self.ask({"folder": str(folder), "at": at, "how": how})


def _fork(asked: Mapping[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        os._exit(_run_child(asked))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run_child(asked: Mapping[str, Any]) -> int:
    os.setsid()
    folder = Path(asked["folder"])
    log = os.open(folder / ERRORS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    kills = Kills(asked["at"], asked["how"])
    try:
        asyncio.run(Landings(folder).run(kills))
        (folder / COMMANDS).write_text(json.dumps(kills.commands), encoding="utf-8")
    except BaseException:  # noqa: BLE001 (nothing of a forked child may return into its parent's code)
        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
        return REFUSED
    return 0


if __name__ == "__main__":
    serve(_fork)
