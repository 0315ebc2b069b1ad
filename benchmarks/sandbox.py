"""What the sandbox costs a program: the same program plain and confined, in turns.

    python benchmarks/sandbox.py [--rounds 200] [--files 20] [--user UID] [--json]

Subjects, one after the other in every round, so that a busy machine slows all alike:

- plain: a spawn with the same reading and deadline, and nothing else;
- none: what ``sandbox = "none"`` runs, with its limits;
- bare: bubblewrap with namespaces, the system and the tree, and nothing else of the sandbox: its own price;
- bubblewrap: what ``sandbox = "bubblewrap"`` runs.

Each runs ``/usr/bin/true`` in a tree of ``--files`` files. Times are wall time of the whole call in ms. "over plain" is
the median of the differences within a round; p10 is what a less busy moment gives. With ``--user`` the process leaves
root first.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.sandbox.bubblewrap import find_bubblewrap, open_bubblewrap
from pantheon.adapters.sandbox.plain import PlainProcess
from pantheon.adapters.sandbox.process import Launch, run_process
from pantheon.core.sandbox import SandboxLimits

PROGRAM = ("/usr/bin/true",)
BARE = (
    *("--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"),
    *("--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind"),
)
LIMITS = SandboxLimits(wall_s=20)
WARM_UP = 5


def _nothing_left(_: int, __: int | None) -> None:
    """Bury a program that started no other."""


async def measure(tree: Path, rounds: int, user: int | None) -> tuple[list[dict[str, Any]], str]:
    """Return a row per subject, and the version of bubblewrap."""
    clock, bubblewrap = SystemClock(), find_bubblewrap().path
    sandbox, none = open_bubblewrap(clock), PlainProcess(clock)
    await asyncio.to_thread(os.getuid)  # what threads import, before it cannot be read any more
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)

    async def plain() -> bool:
        launch = Launch(PROGRAM, _nothing_left, {}, tree, cwd=str(tree))
        return (await run_process(launch, LIMITS, clock)).succeeded

    async def bare() -> bool:
        command = (bubblewrap, *BARE, str(tree), "/work", "--", *PROGRAM)
        launch = Launch(command, _nothing_left, {}, tree)
        return (await run_process(launch, LIMITS, clock)).succeeded

    async def limited() -> bool:
        return (await none.run(PROGRAM, tree, LIMITS)).succeeded

    async def confined() -> bool:
        return (await sandbox.run(PROGRAM, tree, LIMITS)).succeeded

    subjects = {"plain": plain, "none": limited, "bare": bare, "bubblewrap": confined}
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    for turn in range(rounds + WARM_UP):
        for name, work in subjects.items():
            begun = time.perf_counter()
            if not await work():
                raise SystemExit(f"{name}: the program did not succeed")
            if turn >= WARM_UP:
                taken[name].append((time.perf_counter() - begun) * 1000)
    rows = []
    for name, times in taken.items():
        over = [mine - other for mine, other in zip(times, taken["plain"], strict=True)]
        rows.append(
            {
                "subject": name,
                "median_ms": statistics.median(times),
                "p10_ms": sorted(times)[len(times) // 10],
                "p95_ms": sorted(times)[int(len(times) * 0.95) - 1],
                "over_plain_ms": statistics.median(over),
            }
        )
    return rows, sandbox.version


def main() -> int:
    """Print the table, or JSON with versions and machine."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=200)
    options.add_argument("--files", type=int, default=20)
    options.add_argument("--user", type=int, default=None)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve()
        for number in range(chosen.files):
            (tree / f"f{number}").write_text("x")
        if chosen.user is not None:
            for path in (tree, *tree.iterdir()):
                os.chown(path, chosen.user, chosen.user)
        # The folder is removed by whoever made it, so the measuring happens in a child.
        if (child := os.fork()) == 0:
            rows, version = asyncio.run(measure(tree, max(2, chosen.rounds), chosen.user))
            show(chosen, rows, version)
            sys.stdout.flush()
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def show(chosen: argparse.Namespace, rows: list[dict[str, Any]], version: str) -> None:
    """Write what was measured."""
    about = {
        "bubblewrap": version,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "user": "root" if chosen.user is None else str(chosen.user),
        "rounds": chosen.rounds,
        "files": chosen.files,
    }
    if chosen.json:
        sys.stdout.write(json.dumps({"about": about, "rows": rows}, indent=2) + "\n")
        return
    lines = [", ".join(f"{name} {value}" for name, value in about.items()), ""]
    lines += ["| subject | p10 ms | median ms | p95 ms | over plain ms |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {row['subject']} | {row['p10_ms']:.1f} | {row['median_ms']:.1f} | {row['p95_ms']:.1f} "
        f"| {row['over_plain_ms']:.1f} |"
        for row in rows
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
