"""What a work tree costs a node: a full checkout, git's own commands in one folder, and the pool.

    python benchmarks/worktrees.py [--files 500 5000 50000] [--rounds 15] [--folder DIR] [--json]

A generated repository has two commits that differ in one file. A node leases a tree at the commit that the tree does
not stand at, changes one file, and commits. Subjects:

- full checkout: ``read-tree --reset -u`` into an empty folder, and nothing else;
- git in one folder: ``read-tree --reset -u``, ``clean -ffdxq``, ``add --all --force``, ``write-tree``, ``rev-parse``,
  ``commit-tree``: every file is looked at three times;
- pool: lease and commit as a night does it; "reader" leases the commit that the tree stands at and changes nothing.

Times are medians of wall time in ms; processes are those of git that Pantheon starts.
"""

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.listing import git_version
from pantheon.adapters.git.pooled_tree import identity
from pantheon.adapters.git.repository import NightRepository

FILES_A_FOLDER = 50
CHANGED = "p000/q00/f00000.md"


def path_of(number: int) -> str:
    """Return the path of a generated file, two folders deep."""
    return f"p{number // 1000:03}/q{number // FILES_A_FOLDER % 20:02}/f{number:05}.md"


def make_repository(root: Path, files: int) -> tuple[str, str]:
    """Return two commits of ``files`` files that differ in one; nothing is checked out."""
    subprocess.run(["git", "init", "-q", "-b", "main", root], check=True)
    who = b"committer P <p@localhost> 1767225600 +0000\n"
    parts = [b"commit refs/heads/main\n" + who + b"data 1\n1"]
    for number in range(files):
        text = f"# Note {number}\n\n".encode() + b"A line of text that a note may hold.\n" * 12
        parts.append(b"M 100644 inline %s\ndata %d\n%s" % (path_of(number).encode(), len(text), text))
    parts.append(
        b"\ncommit refs/heads/main\n" + who + b"data 1\n2M 100644 inline %s\ndata 2\n2\n" % CHANGED.encode()
    )
    subprocess.run(["git", "-C", root, "fast-import", "--quiet"], input=b"\n".join(parts), check=True)
    told = subprocess.run(
        ["git", "-C", root, "rev-parse", "main~1", "main"], check=True, capture_output=True, text=True
    )
    first, second = told.stdout.split()
    return first, second


class Counter:
    """Counts the processes that ``GitRunner`` starts."""

    def __init__(self) -> None:
        self.count = 0
        run = GitRunner.run

        async def counted(runner: GitRunner, *args: str, **more: Any) -> tuple[int, bytes]:
            self.count += 1
            return await run(runner, *args, **more)

        GitRunner.run = counted  # type: ignore[method-assign]


async def repeat(
    counter: Counter, rounds: int, work: Callable[[int], Awaitable[None]]
) -> tuple[float, float, float]:
    """Return (median ms, slowest ms, processes a round)."""
    taken, before = [], counter.count
    for turn in range(rounds):
        begun = time.perf_counter()
        await work(turn)
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken), max(taken), (counter.count - before) / rounds


async def measure(folder: Path, files: int, rounds: int, counter: Counter) -> list[dict[str, Any]]:
    """Measure every subject on one repository."""
    clock = SystemClock()
    root = folder / "user"
    commits = await asyncio.to_thread(make_repository, root, files)
    repository = await NightRepository.open(root, folder / "state", trees=1, clock=clock)
    git = GitRunner(folder / "state" / "git", timeout_s=600)
    plain = folder / "plain"

    async def full(turn: int) -> None:
        place = folder / f"full{turn}"
        place.mkdir()
        env = {"GIT_INDEX_FILE": f"{place}.index", "GIT_WORK_TREE": str(place)}
        await git.run("read-tree", "--reset", "-u", commits[0], env=env)

    async def one_folder(turn: int) -> None:
        env = {"GIT_INDEX_FILE": f"{plain}.index", "GIT_WORK_TREE": str(plain), **identity(clock)}
        start = commits[turn % 2]
        await git.run("read-tree", "--reset", "-u", start, env=env)
        await git.run("clean", "-ffdxq", env=env)
        (plain / path_of(files - 1)).write_bytes(b"%d\n" % turn)
        await git.run("add", "--all", "--force", ".", env=env)
        tree = await git.text("write-tree", env=env)
        await git.run("rev-parse", f"{start}^{{tree}}")
        await git.run("commit-tree", tree, "-p", start, stdin=b"m", env=env)

    async def writer(turn: int) -> None:
        async with repository.work_tree(commits[turn % 2]) as tree:
            tree.files.write_bytes(path_of(files - 1), b"%d\n" % turn)
            await tree.commit("m")

    async def reader(_: int) -> None:
        async with repository.work_tree(commits[0]) as tree:
            await tree.commit("m")

    plain.mkdir()
    rows = []
    for name, times, work, warm in (
        ("full checkout", min(rounds, 3), full, False),
        ("git in one folder", rounds, one_folder, True),
        ("pool", rounds, writer, True),
        ("pool, reader", rounds, reader, True),
    ):
        if warm:
            await work(0)
            await work(1)
        median, slowest, processes = await repeat(counter, times, work)
        rows.append(
            {"files": files, "subject": name, "ms": median, "slowest_ms": slowest, "processes": processes}
        )
    for row in rows:
        row["cheaper"] = rows[0]["ms"] / row["ms"]
    return rows


def main() -> int:
    """Print the table, or JSON with versions and machine."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--files", type=int, nargs="+", default=[500, 5_000, 50_000])
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--folder", type=Path, default=None, help="where the disk to be measured is")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    rows, counter = [], Counter()
    for files in chosen.files:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
            rows += asyncio.run(measure(Path(folder), files, chosen.rounds, counter))
    about = {
        "git": ".".join(str(part) for part in git_version()),
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "rounds": chosen.rounds,
    }
    if chosen.json:
        sys.stdout.write(json.dumps({"about": about, "rows": rows}, indent=2) + "\n")
        return 0
    lines = [", ".join(f"{name} {value}" for name, value in about.items()), ""]
    lines.append("| files | subject | ms | slowest ms | git processes | cheaper than a full checkout |")
    lines.append("|---:|---|---:|---:|---:|---:|")
    lines += [
        f"| {row['files']:,} | {row['subject']} | {row['ms']:.1f} | {row['slowest_ms']:.1f} "
        f"| {row['processes']:.0f} | {row['cheaper']:.1f} x |"
        for row in rows
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
