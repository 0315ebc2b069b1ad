"""Replay recorded workflows on a virtual clock through the scheduler, beside other orders, against the lower bound.

    python benchmarks/engine/replay.py [FOLDER] [--workers 2,4,8] [--json]

FOLDER holds traces in the WfCommons JSON format (schema 1.5). Without one, traces of three common shapes are made
from a seed. A ratio is makespan over ``max(work / workers, critical path)``; ``best`` is the best of several list
schedules, so that where it is above 1.00 the bound itself may be out of reach.
"""

import argparse
import asyncio
import heapq
import json
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from workload import SEED, Node, layered, lower_bound_s

from pantheon.core.dag import PlannedNode, PlannedTask, build_plan
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.records import NodeState
from pantheon.engine.scheduler import NodeEnded, Release, Scheduler

WORKERS = (2, 4, 8, 16, 32, 64)
RANDOM_ORDERS = 20


def read_trace(path: Path) -> list[Node]:
    """Return the tasks of a trace in topological order."""
    workflow = json.loads(path.read_bytes())["workflow"]
    seconds = {one["id"]: float(one["runtimeInSeconds"]) for one in workflow["execution"]["tasks"]}
    parents = {one["id"]: one["parents"] for one in workflow["specification"]["tasks"]}
    place: dict[str, int] = {}
    graph: list[Node] = []
    while len(place) < len(parents):
        before = len(place)
        for name, needs in parents.items():
            if name not in place and all(need in place for need in needs):
                place[name] = len(graph)
                graph.append(Node(tuple(sorted(place[need] for need in needs)), seconds[name]))
        if len(place) == before:
            raise SystemExit(f"{path.name}: its tasks need each other in a circle, or one that is not there")
    return graph


def made() -> dict[str, list[Node]]:
    """Return a fork and join, chains that meet, and random layers."""
    choose = random.Random(SEED)

    def some() -> float:
        return choose.lognormvariate(3.0, 0.8)

    fork = [Node((), some()), *(Node((0,), some()) for _ in range(100)), Node(tuple(range(1, 101)), some())]
    chains: list[Node] = []
    for _ in range(30):
        for step in range(6):
            chains.append(Node((len(chains) - 1,) if step else (), some()))
    chains.append(Node(tuple(range(5, 180, 6)), some()))
    return {"fork and join": fork, "chains": chains, "layers": layered(300, 12, (5.0, 60.0))}


def followers_of(graph: Sequence[Node]) -> list[list[int]]:
    """Return the nodes that need each node."""
    followers: list[list[int]] = [[] for _ in graph]
    for place, node in enumerate(graph):
        for need in node.needs:
            followers[need].append(place)
    return followers


def ranks(graph: Sequence[Node]) -> list[float]:
    """Return the longest path from each node to the end, itself included."""
    followers, rank = followers_of(graph), [0.0] * len(graph)
    for place in reversed(range(len(graph))):
        rank[place] = graph[place].seconds + max((rank[one] for one in followers[place]), default=0.0)
    return rank


def listed(graph: Sequence[Node], workers: int, key: Callable[[int], Any], *, levels: bool = False) -> float:
    """Return the makespan of a list schedule: the lowest key of what is ready, whenever a worker is free."""
    followers, waits = followers_of(graph), [len(node.needs) for node in graph]
    level: list[int] = []
    for node in graph:
        level.append(1 + max((level[need] for need in node.needs), default=-1))
    left = [level.count(one) for one in range(max(level) + 1)]
    ready = [(key(p), p) for p, count in enumerate(waits) if count == 0]
    heapq.heapify(ready)
    parked: list[tuple[Any, int]] = []
    running: list[tuple[float, int]] = []
    now, open_level = 0.0, 0
    while ready or running or parked:
        while ready and len(running) < workers:
            entry = heapq.heappop(ready)
            if levels and level[entry[1]] > open_level:
                parked.append(entry)
                continue
            heapq.heappush(running, (now + graph[entry[1]].seconds, entry[1]))
        now, place = heapq.heappop(running)
        left[level[place]] -= 1
        while open_level < len(left) and left[open_level] == 0:
            open_level += 1
            for entry in parked:
                heapq.heappush(ready, entry)
            parked = []
        for follower in followers[place]:
            waits[follower] -= 1
            if waits[follower] == 0:
                heapq.heappush(ready, (key(follower), follower))
    return now


class VirtualTime:
    """Time that moves to the next end once nothing else can run."""

    def __init__(self) -> None:
        self.now = 0.0
        self._ends: list[tuple[float, int, asyncio.Event]] = []
        self._made = 0

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        event = asyncio.Event()
        self._made += 1
        heapq.heappush(self._ends, (self.now + seconds, self._made, event))
        await event.wait()

    async def run(self) -> None:
        """Move the time on until cancelled."""
        while True:
            # What an end sets in motion takes a few turns of the loop; none of it waits for anything real.
            for _ in range(8):
                await asyncio.sleep(0)
            if self._ends:
                self.now, _, event = heapq.heappop(self._ends)
                event.set()


async def ours(graph: Sequence[Node], workers: int, *, known: bool) -> float:
    """Return the makespan of our scheduler.

    Args:
        known: whether the plan knows how long each node takes; otherwise it ranks by nodes alone.
    """
    tasks: dict[str, PlannedTask] = {}
    for place, node in enumerate(graph):
        work = FlowNode(id="work", tool="noop", resources={"worker": 1}, args={"seconds": node.seconds})
        flow = Flow(name="replay", accepts=("replay",), node=(work,))
        tasks[str(place)] = PlannedTask(flow=flow, needs=tuple(str(need) for need in node.needs))

    def expect(node: FlowNode) -> float:
        return float(node.args["seconds"]) if known else 1.0

    time = VirtualTime()

    async def run(node: PlannedNode, release: Release) -> NodeEnded:
        await time.sleep(float(node.node.args["seconds"]))
        release()
        return NodeEnded(NodeState.SUCCEEDED)

    async def end(state: NodeState, cause: str, keys: tuple[str, ...]) -> None:
        raise AssertionError(f"{keys} ended {state} without having run: {cause}")

    plan = build_plan(tasks, expect)
    scheduler = Scheduler(
        plan=plan,
        tasks=tasks,
        slots={"worker": workers},
        run=run,
        end=end,
        sleep=time.sleep,
    )
    async with asyncio.TaskGroup() as group:
        moving = group.create_task(time.run(), name="time")
        await scheduler.run_all()
        moving.cancel()
    return time.now


def measure(name: str, graph: Sequence[Node], workers: int) -> dict[str, Any]:
    """Return every order's makespan over the lower bound."""
    bound = lower_bound_s(graph, workers)
    rank, followers = ranks(graph), followers_of(graph)
    found = {
        "trace": name,
        "nodes": len(graph),
        "workers": workers,
        "ours": asyncio.run(ours(graph, workers, known=True)) / bound,
        "ours, times unknown": asyncio.run(ours(graph, workers, known=False)) / bound,
        "fifo": listed(graph, workers, lambda place: place) / bound,
        "levels": listed(graph, workers, lambda place: place, levels=True) / bound,
    }
    choose = random.Random(SEED)
    rules: list[Callable[[int], Any]] = [
        lambda place: -rank[place],
        lambda place: (-rank[place], -len(followers[place])),
        lambda place: (-len(followers[place]), -rank[place]),
        lambda place: -graph[place].seconds,
        *((lambda place, by=noise: -rank[place] * by[place])
          for noise in ([choose.uniform(0.8, 1.25) for _ in graph] for _ in range(RANDOM_ORDERS))),
    ]  # fmt: skip
    found["best"] = min(found["ours"], *(listed(graph, workers, rule) / bound for rule in rules))
    return found


def main() -> int:
    """Print the table, or JSON."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("folder", nargs="?", type=Path, help="traces in the WfCommons format")
    options.add_argument(
        "--workers", type=lambda text: [int(one) for one in text.split(",")], default=WORKERS
    )
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    traces = made()
    if chosen.folder is not None:
        traces = {path.stem: read_trace(path) for path in sorted(chosen.folder.glob("*.json"))}
    rows = [measure(name, graph, workers) for name, graph in traces.items() for workers in chosen.workers]
    if chosen.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    columns = ("ours", "ours, times unknown", "fifo", "levels", "best")
    sys.stdout.write(
        f"| trace | nodes | workers | {' | '.join(columns)} |\n|---|---:|---:|{'---:|' * len(columns)}\n"
    )
    for row in rows:
        cells = " | ".join(f"{row[name]:.3f}" for name in columns)
        sys.stdout.write(f"| {row['trace']} | {row['nodes']} | {row['workers']} | {cells} |\n")
    above = [row for row in rows if row["ours"] > 1.04]
    beyond = sum(row["best"] <= 1.04 for row in above)
    middle = statistics.median(row["ours"] for row in rows)
    sys.stdout.write(
        f"\nmedian {middle:.3f}; {len(above)} of {len(rows)} above 1.04, {beyond} of them where a list schedule"
        f" within it was found; furthest from the best found: {max(row['ours'] / row['best'] for row in rows):.3f}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
