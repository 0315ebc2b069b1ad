"""Replay recorded workflows on a virtual clock through the scheduler, beside other orders, against the lower bound.

    python benchmarks/engine/replay.py [FOLDER] [--workers 2,4,8] [--json]

FOLDER holds traces in the WfCommons JSON format (schema 1.5). Without one, traces of three common shapes are made
from a seed. A ratio is makespan over the lower bound of ``bounds.py``; ``over the simple bound`` is over
``max(work / workers, longest path)``, which no schedule may be able to reach. ``ours`` tries orders before it starts,
as the night does when it knows how long nodes take; ``longest path`` does not.
"""

import argparse
import heapq
import json
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bounds import close_bound_s
from workload import SEED, Node, followers_of, layered, lower_bound_s

from pantheon.core.dag import PlannedTask, build_plan
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.trial_schedule import try_orders
from pantheon.testing.simulated_night import Case, Work, simulate

WORKERS = (2, 4, 8, 16, 32, 64)
AIM = 1.04
"""How far above the lower bound a night may end."""


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


def ours(graph: Sequence[Node], workers: int, *, known: bool = True, tried: bool = True) -> float:
    """Return the makespan of our scheduler.

    Args:
        graph: the nodes.
        workers: nodes at once.
        known: whether the plan knows how long each node takes; otherwise it ranks by nodes alone.
        tried: whether orders are tried before the start.
    """
    tasks: dict[str, PlannedTask] = {}
    for place, node in enumerate(graph):
        work = FlowNode(id="work", tool="noop", resources={"worker": 1}, args={"seconds": node.seconds})
        flow = Flow(name="replay", accepts=("replay",), node=(work,))
        tasks[str(place)] = PlannedTask(flow=flow, needs=tuple(str(need) for need in node.needs))

    def expect(node: FlowNode) -> float:
        return float(node.args["seconds"]) if known else 1.0

    slots = {"worker": workers}
    plan = build_plan(tasks, expect)
    if tried:
        plan = try_orders(plan, tasks, slots, expect, shortest_s=0.0).plan
    works = {one.key: Work(seconds=float(one.node.args["seconds"])) for one in plan.nodes}
    trace = simulate(Case(nodes=plan.nodes, tasks=tasks, slots=slots, work=works))
    return trace.over_at


def measure(name: str, graph: Sequence[Node], workers: int) -> dict[str, Any]:
    """Return every order's makespan over the lower bound."""
    bound = close_bound_s(graph, workers)
    found = {
        "trace": name,
        "nodes": len(graph),
        "workers": workers,
        "ours": ours(graph, workers) / bound,
        "longest path": ours(graph, workers, tried=False) / bound,
        "times unknown": ours(graph, workers, known=False, tried=False) / bound,
        "fifo": listed(graph, workers, lambda place: place) / bound,
        "levels": listed(graph, workers, lambda place: place, levels=True) / bound,
    }
    found["over the simple bound"] = found["ours"] * bound / lower_bound_s(graph, workers)
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
    columns = ("ours", "longest path", "times unknown", "fifo", "levels", "over the simple bound")
    sys.stdout.write(
        f"| trace | nodes | workers | {' | '.join(columns)} |\n|---|---:|---:|{'---:|' * len(columns)}\n"
    )
    for row in rows:
        cells = " | ".join(f"{row[name]:.3f}" for name in columns)
        sys.stdout.write(f"| {row['trace']} | {row['nodes']} | {row['workers']} | {cells} |\n")
    middle = statistics.median(row["ours"] for row in rows)
    above = {name: sum(row[name] > AIM for row in rows) for name in ("ours", "longest path")}
    sys.stdout.write(
        f"\n{len(rows)} rows: median {middle:.3f}, worst {max(row['ours'] for row in rows):.3f};"
        f" above {AIM}: {above['ours']} (by longest path alone {above['longest path']})\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
