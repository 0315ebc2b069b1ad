"""The same work for every subject: graphs from a seed, their lower bound, and what a killed run left.

Only the standard library, so that each peer can import it from its own environment.
"""

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SEED = 20260101
AGENT_S = (0.05, 0.15)
KILL_S = 0.005
"""How long a task of the kill work takes, so that a kill meets tasks in flight."""


class Node(NamedTuple):
    """One node of a graph; it needs nodes of lower number."""

    needs: tuple[int, ...]
    seconds: float


def layered(nodes: int, layers: int, seconds: tuple[float, float] = (0.0, 0.0)) -> list[Node]:
    """Return a random graph in which each node needs one to three nodes of the layer before."""
    choose = random.Random(SEED)
    width = max(1, nodes // layers)
    graph: list[Node] = []
    for place in range(nodes):
        first = (place // width) * width
        before = range(max(0, first - width), first)
        needs = choose.sample(before, min(len(before), choose.randint(1, 3)))
        graph.append(Node(tuple(sorted(needs)), choose.uniform(*seconds)))
    return graph


def graph_of(work: str, size: int) -> list[Node]:
    """Return the graph of a kind of work: ``noop`` and ``kill`` have no edges, the others have."""
    if work == "dag":
        return layered(size, 20)
    if work == "killdag":
        return layered(size, 20, (KILL_S, KILL_S))
    if work == "agentlike":
        return layered(size, 10, AGENT_S)
    return [Node((), KILL_S if work == "kill" else 0.0)] * size


def followers_of(graph: Sequence[Node]) -> list[list[int]]:
    """Return the nodes that need each node."""
    followers: list[list[int]] = [[] for _ in graph]
    for place, node in enumerate(graph):
        for need in node.needs:
            followers[need].append(place)
    return followers


def lower_bound_s(graph: Sequence[Node], workers: int) -> float:
    """Return the larger of work over workers and the critical path: no schedule is shorter."""
    ends: list[float] = []
    for node in graph:
        ends.append(node.seconds + max((ends[need] for need in node.needs), default=0.0))
    return max(sum(node.seconds for node in graph) / workers, max(ends, default=0.0))


def note(folder: Path, what: str, place: int) -> None:
    """Append one line to the log of the kill work; appends of processes and threads do not mix."""
    log = os.open(folder / "kill.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(log, f"{what} {place}\n".encode())
    finally:
        os.close(log)


def work_sync(folder: Path, work: str, place: int, seconds: float) -> int:
    """Do one task's work in a thread or process."""
    if work.startswith("kill"):
        note(folder, "start", place)
    if seconds:
        time.sleep(seconds)
    if work.startswith("kill"):
        note(folder, "end", place)
    return place


class Kill(NamedTuple):
    """What one kill and one restart came to."""

    lost: int
    """Tasks that never ended."""
    rerun: int
    """Tasks that had ended before the kill and started again."""
    in_flight: int
    """Tasks the kill met, which started again."""


def judge_kill(folder: Path, size: int) -> Kill:
    """Count what the log of a killed and restarted run says; ``killed`` stands where the kill was."""
    ended: set[int] = set()
    begun: set[int] = set()
    after = False
    rerun: set[int] = set()
    in_flight: set[int] = set()
    done_before: set[int] = set()
    for line in (folder / "kill.log").read_text(encoding="ascii").splitlines():
        what, _, place = line.partition(" ")
        if what == "killed":
            after, done_before = True, set(ended)
        elif what == "end":
            ended.add(int(place))
        elif after and int(place) in done_before:
            rerun.add(int(place))
        elif after and int(place) in begun:
            in_flight.add(int(place))
        if what == "start" and not after:
            begun.add(int(place))
    return Kill(size - len(ended), len(rerun), len(in_flight))
