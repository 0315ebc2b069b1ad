"""What every subject's script shares: its command line, and one line of JSON about one piece of work."""

import argparse
import asyncio
import json
import platform
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from workload import Node, graph_of, lower_bound_s


@dataclass
class Job:
    """One piece of work for one subject."""

    work: str
    folder: Path
    size: int
    at_once: int
    found: dict[str, Any] = field(default_factory=dict)
    """What was measured."""

    @property
    def graph(self) -> list[Node]:
        """The nodes to run."""
        return graph_of(self.work, self.size)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure the work alone, without imports and set-up."""
        self.found["imports_mb"] = peak_mb()
        cpu, begun = _cpu_s(), time.perf_counter()
        yield
        self.found["wall_s"] = time.perf_counter() - begun
        self.found["cpu_s"] = _cpu_s() - cpu
        self.found["peak_mb"] = peak_mb()


def peak_mb() -> float:
    """Return the most memory this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu_s() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


Run = Callable[[Job], Coroutine[Any, Any, None] | None]


def main(name: str, packages: tuple[str, ...], runs: Mapping[str, Run]) -> int:
    """Run what the command line names and print what was found.

    Args:
        name: the subject.
        packages: distributions whose versions belong to the result.
        runs: work -> what does it, within ``Job.timed``.
    """
    options = argparse.ArgumentParser(description=f"Measure {name}.")
    options.add_argument("work", choices=sorted(runs))
    options.add_argument("--folder", type=Path, help="where the state is kept; a scratch folder by default")
    options.add_argument("--size", type=int, default=2000)
    options.add_argument("--at-once", type=int, default=32)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=None if chosen.folder else ".") as scratch:
        folder = (chosen.folder or Path(scratch)).resolve()
        job = Job(chosen.work, folder, chosen.size, chosen.at_once)
        running = runs[job.work](job)
        if running is not None:
            asyncio.run(running)
    found = {"subject": name, "work": job.work, "size": job.size, "at_once": job.at_once, **job.found}
    found["versions"] = {one: version(one) for one in packages}
    found["versions"] |= {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    if job.work == "agentlike":
        found["ratio"] = job.found["wall_s"] / lower_bound_s(job.graph, job.at_once)
    sys.stdout.write(json.dumps(found) + "\n")
    return 0
