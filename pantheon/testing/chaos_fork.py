"""Runs nights in forked processes that are killed; ``python -m pantheon.testing.chaos_fork`` does so for another one.

A forked process has everything imported, so a kill costs a fraction of a second. Only a process with a single thread
may fork, which a test runner is not: it asks ``ChaosNursery``, a process that does nothing else.
"""

import asyncio
import json
import os
import signal
import threading
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pantheon.ports.crash_points import CrashPoint, install_hook
from pantheon.testing.chaos_night import ChaosNight
from pantheon.testing.nursery import Nursery, serve

MOST_RESUMES = 3
"""Tries of an undisturbed process to end a night."""
KILLED, REFUSED = -signal.SIGKILL, 4
REACHED = "reached.json"
"""In the night's folder: how often each crash point was reached by the last process that ended by itself."""


@dataclass
class Reaper:
    """The hook that counts crash points and kills this process at one of them.

    Args:
        point: where to die; None only counts.
        occurrence: at which reaching of the point, from 1.
    """

    point: CrashPoint | None = None
    occurrence: int = 1
    reached: Counter[CrashPoint] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, point: CrashPoint) -> None:
        """Count, and die when it is time."""
        with self._lock:
            self.reached[point] += 1
            if point is self.point and self.reached[point] == self.occurrence:
                os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Death:
    """How a process that runs a night is to die."""

    point: CrashPoint | None = None
    occurrence: int = 1
    after_s: float | None = None
    """Seconds until it is killed from outside."""
    group: bool = False
    """Whether its own children are killed with it, when it is killed from outside."""


PEACE = Death()
"""It ends by itself."""


def run_forked(night: ChaosNight, death: Death = PEACE) -> int:
    """Run a night in a child of this process and return its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        os._exit(_run_child(night, death))
    if death.after_s is None:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    until = time.monotonic() + death.after_s
    while (left := until - time.monotonic()) > 0:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(min(left, 0.005))
    try:
        os.killpg(child, signal.SIGKILL) if death.group else os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        # The child has not come to lead its own group yet.
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_until_ended(night: ChaosNight) -> None:
    """Run a night without disturbing it until it is closed.

    Raises:
        RuntimeError: it does not end, although nobody disturbs it.
    """
    for _ in range(MOST_RESUMES):
        if run_forked(night) == 0:
            return
    raise RuntimeError(f"the night in {night.folder} does not end; see {night.folder / 'stderr.log'}")


class ChaosNursery(Nursery):
    """Runs nights in children, which die as it is asked for."""

    def __init__(self) -> None:
        super().__init__("pantheon.testing.chaos_fork")

    def run(self, night: ChaosNight, death: Death = PEACE) -> int:
        """Do as ``run_forked`` does.

        Raises:
            RuntimeError: the nursery is gone.
        """
        return self.ask([str(night.folder), night.notes, asdict(death)])


def _run_asked(asked: list[Any]) -> int:
    folder, notes, death = asked
    if death["point"] is not None:
        death["point"] = CrashPoint(death["point"])
    return run_forked(ChaosNight(Path(folder), notes), Death(**death))


def _run_child(night: ChaosNight, death: Death) -> int:
    os.setsid()
    log = os.open(night.folder / "stderr.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    reaper = Reaper(death.point, death.occurrence)
    install_hook(reaper)
    try:
        asyncio.run(night.run())
        (night.folder / REACHED).write_text(json.dumps(reaper.reached), encoding="utf-8")
    except BaseException:  # noqa: BLE001 (nothing of a forked child may return into its parent's code)
        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
        return REFUSED
    return 0


if __name__ == "__main__":
    serve(_run_asked)
