"""How many no-op nodes a second the store takes through claim and settle, beside the disk's own floor.

    python benchmarks/store.py [--nodes 2000] [--folder DIR] [--json]

A node is two durable writes. The floor is one plain ``sqlite3`` commit per write, in the same folder, in the same
minute: on a shared disk only the ratio says anything.
"""

import argparse
import asyncio
import json
import platform
import resource
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.store import open_store
from pantheon.core.records import (
    AttemptOutcome,
    AttemptResult,
    BatchRecord,
    NightRecord,
    NodeRecord,
    NodeState,
    TaskRecord,
)
from pantheon.ports.store import Store
from pantheon.testing.store import FakeStore

DONE = AttemptResult(
    outcome=AttemptOutcome.SUCCEEDED,
    node_state=NodeState.SUCCEEDED,
    output_commit="0" * 40,
    metrics={"tokens": 1},
)
FLOOR_COMMITS = 500


def floor(folder: Path) -> dict[str, Any]:
    """Measure commits of one row each, as durable as the store's."""
    with closing(sqlite3.connect(folder / "floor.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE rows (a)")
        begun = time.perf_counter()
        for place in range(FLOOR_COMMITS):
            db.execute("INSERT INTO rows VALUES (?)", (place,))
        return {
            "subject": "floor: commits",
            "at_once": 1,
            "per_s": FLOOR_COMMITS / (time.perf_counter() - begun),
        }


async def through(store: Store, name: str, nodes: int, at_once: int) -> dict[str, Any]:
    """Measure claim and settle of ``nodes`` nodes by ``at_once`` callers."""
    now = SystemClock().now()
    batch = BatchRecord(name="bench", digest="0" * 64, lines=1, enqueued_at=now, path="queue/bench.jsonl")
    await store.add_batch(batch, [TaskRecord(key="bench/t", batch="bench", line="{}")])
    await store.open_night(NightRecord(id="n", base_commit="0" * 40, branch="b", started_at=now), ["bench/t"])
    keys = [f"bench/t#{place}" for place in range(nodes)]
    await store.add_nodes(
        [NodeRecord(night="n", key=key, task="bench/t", node="noop", state=NodeState.READY) for key in keys]
    )
    left = iter(keys)

    async def work() -> None:
        for key in left:
            lease = await store.claim("n", key, owner="bench", lease_s=60)
            await store.settle(lease, DONE)

    begun, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for place in range(at_once):
            group.create_task(work(), name=f"worker {place}")
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    await store.aclose()
    return {
        "subject": name,
        "at_once": at_once,
        "per_s": nodes / wall_s,
        "cpu_ms": cpu_s / nodes * 1000,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


async def measure(folder: Path, nodes: int) -> list[dict[str, Any]]:
    """Run every subject once, with the floor before and after."""
    clock = SystemClock()
    found = [await asyncio.to_thread(floor, folder)]
    found.append(await through(FakeStore(clock), "memory", nodes, 32))
    for at_once in (32, 1):
        store = await open_store(folder / f"store-{at_once}.db", clock)
        found.append(await through(store, "sqlite", nodes, at_once))
    return found


def main() -> int:
    """Print the table, or JSON with versions and machine."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--nodes", type=int, default=2000)
    options.add_argument("--folder", type=Path, default=None, help="where the disk to be measured is")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        rows = asyncio.run(measure(Path(folder), chosen.nodes))
    about = {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "aiosqlite": version("aiosqlite"),
        "machine": platform.machine(),
        "nodes": chosen.nodes,
    }
    if chosen.json:
        sys.stdout.write(json.dumps({"about": about, "rows": rows}, indent=2) + "\n")
        return 0
    lines = [", ".join(f"{name} {value}" for name, value in about.items()), ""]
    lines += ["| subject | at once | per second | CPU ms a node | peak MB |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        cells = [f"{row[name]:.{digits}f}" if name in row else "" for name, digits in COLUMNS]
        lines.append(f"| {row['subject']} | {row['at_once']} | {' | '.join(cells)} |")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


COLUMNS = (("per_s", 0), ("cpu_ms", 3), ("peak_mb", 0))

if __name__ == "__main__":
    sys.exit(main())
