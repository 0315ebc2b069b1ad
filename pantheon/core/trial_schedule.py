"""Tries a bounded number of orders on a virtual clock before the night, and keeps the best.

The longest remaining path is a good rank, but not always the best one: where the last nodes of a graph are few and
long, another order can end a tenth sooner. What is tried is what the night would do, start by start, with the expected
durations: the same ``ReadyQueue``, slots, priorities and packages.

Invariants:
- the order that is kept is never expected to end later than the one by longest path;
- the same plan, slots and durations give the same order: the noise comes from a seed;
- what is tried is bounded in starts, so that large plans cost what they did; a plan that any order is good for, or that
  is too short to be worth it, is not tried at all.

Source: Graham's bound for list schedules; forward-backward improvement (Li and Willis, 1992).
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from zlib import crc32

from pantheon.core.dag import Expect, Plan, PlannedNode, PlannedTask, expected_seconds
from pantheon.core.dispatch import Candidate, ReadyQueue

MAX_STARTS = 50_000
"""Starts that all orders together may take on the virtual clock: well under a second."""
MIN_NIGHT_S = 60.0
"""A night that is expected to be shorter is not worth the trouble."""
GOOD_ENOUGH = 1.005
"""Expected end over the lower bound from which nothing more is tried."""
BACK_AND_FORTH = 6
"""Orders got by scheduling backward from the order before."""
NOISE = (0.25, 0.1, 0.5, 0.1)
"""Largest shares that ranks are moved by in search of a better order: those by longest path, then the best found."""
AT_ONCE_S = 1e-6
"""Ends that are no further apart are at one moment."""
MAX_ORDERS = 300
"""Orders that are tried at most."""

Ranks = Sequence[float]


@dataclass(frozen=True, slots=True)
class Tried:
    """What trying orders came to."""

    plan: Plan
    """The plan, with the ranks of the best order."""
    orders: int = 0
    """Orders that were tried; none when it was not worth it."""
    planned_s: float = 0.0
    """Expected end by longest path."""
    expected_s: float = 0.0
    """Expected end by the best order."""


def try_orders(
    plan: Plan,
    tasks: Mapping[str, PlannedTask],
    slots: Mapping[str, int],
    expect: Expect = expected_seconds,
    *,
    starts: int = MAX_STARTS,
    shortest_s: float = MIN_NIGHT_S,
) -> Tried:
    """Return the plan with the ranks of the best order that was tried.

    Args:
        plan: the night's DAG, ranked by longest path.
        tasks: task key -> the planned task.
        slots: resource -> slots.
        expect: expected duration of a node, in seconds.
        starts: starts that all orders together may take.
        shortest_s: nights that are expected to be shorter are left as they are.
    """
    if not plan.nodes or len(plan.nodes) * 2 > starts:
        return Tried(plan)
    seconds = [expect(node.node) for node in plan.nodes]
    bound_s = lower_bound_s(plan, slots, seconds)
    if bound_s < shortest_s or _any_order_will_do(plan, slots, seconds, bound_s):
        return Tried(plan)
    rehearsal = _Rehearsal(plan.nodes, tasks, slots, seconds)
    planned = tuple(node.rank for node in plan.nodes)
    planned_s = rehearsal.run(planned)
    orders = _orders(rehearsal, planned)
    while rehearsal.best_s > bound_s * GOOD_ENOUGH and rehearsal.runs < MAX_ORDERS:
        if (rehearsal.runs + 1) * len(planned) > starts:
            break
        rehearsal.run(next(orders))
    tried = Tried(plan, rehearsal.runs, planned_s, rehearsal.best_s)
    if rehearsal.best_s >= planned_s:
        return tried
    nodes = tuple(replace(node, rank=rank) for node, rank in zip(plan.nodes, rehearsal.best, strict=True))
    return replace(tried, plan=replace(plan, nodes=nodes))


def lower_bound_s(plan: Plan, slots: Mapping[str, int], seconds: Ranks) -> float:
    """Return what no order is faster than: the longest path, and each resource's work over its slots.

    Args:
        plan: the DAG.
        slots: resource -> slots.
        seconds: expected duration of each node of the plan.
    """
    return max([_longest_s(plan, seconds), *_loads(plan, slots, seconds)])


def _longest_s(plan: Plan, seconds: Ranks) -> float:
    ends: dict[str, float] = {}
    for node, own in zip(plan.nodes, seconds, strict=True):
        ends[node.key] = own + max((ends[one] for one in (*node.needs, *node.after)), default=0.0)
    return max(ends.values())


def _loads(plan: Plan, slots: Mapping[str, int], seconds: Ranks) -> list[float]:
    load = dict.fromkeys(slots, 0.0)
    for node, own in zip(plan.nodes, seconds, strict=True):
        for name, cost in node.node.resources.items():
            if name in load:
                load[name] += cost * own
    return [work / max(1, slots[name]) for name, work in load.items()]


def _any_order_will_do(plan: Plan, slots: Mapping[str, int], seconds: Ranks, bound_s: float) -> bool:
    """Tell by Graham's bound, which holds where one resource is short and its nodes take a slot each."""
    names = {name for node in plan.nodes for name in node.node.resources if name in slots}
    single = all(cost == 1 for node in plan.nodes for cost in node.node.resources.values())
    if len(names) > 1 or not single:
        return False
    return sum(_loads(plan, slots, seconds)) + _longest_s(plan, seconds) <= bound_s * GOOD_ENOUGH


def _orders(rehearsal: "_Rehearsal", planned: Ranks) -> Iterator[Ranks]:
    """Yield ranks to try; each is tried before the next is asked for."""
    for _ in range(BACK_AND_FORTH):
        yield rehearsal.backward()
    top = 1.0 + max(planned)
    yield [len(followers) * top + rank for followers, rank in zip(rehearsal.followers, planned, strict=True)]
    for number in count():
        base, most = (planned, rehearsal.best)[number % 2], NOISE[number % len(NOISE)]
        yield [rank * (1.0 + most * _noise(number, place)) for place, rank in enumerate(base)]


def _noise(number: int, place: int) -> float:
    """Return a number between -1 and 1 that depends on nothing but its arguments."""
    return crc32(f"{number}/{place}".encode()) / 2**31 - 1.0


class _Rehearsal:
    """Runs a plan on a virtual clock, as the night would.

    Args:
        nodes: the plan's nodes in topological order.
        tasks: task key -> the planned task.
        slots: resource -> slots.
        seconds: duration of each node.
    """

    def __init__(
        self,
        nodes: Sequence[PlannedNode],
        tasks: Mapping[str, PlannedTask],
        slots: Mapping[str, int],
        seconds: Ranks,
    ) -> None:
        place = {node.key: number for number, node in enumerate(nodes)}
        self._keys = [node.key for node in nodes]
        self._needs = [[place[one] for one in (*node.needs, *node.after)] for node in nodes]
        self.followers: list[list[int]] = [[] for _ in nodes]
        for number, needs in enumerate(self._needs):
            for need in needs:
                self.followers[need].append(number)
        self._place, self._slots, self._seconds = place, slots, seconds
        self._candidates = [
            Candidate(
                key=node.key,
                task=node.task,
                package=tasks[node.task].package,
                priority=tasks[node.task].priority,
                order=number,
                work_s=expected_seconds(node.node),
                resources=tuple(sorted(node.node.resources.items())),
                warms=node.node.agent is not None,
                opening=node.opening,
            )
            for number, node in enumerate(nodes)
        ]
        self._alike = [
            replace(one, task=one.key, package="", priority=0, warms=False, opening="")
            for one in self._candidates
        ]
        self._ends: list[float] = []
        self.runs = 0
        self.best_s = float("inf")
        self.best: Ranks = ()

    def run(self, ranks: Ranks) -> float:
        """Return when a night in this order is expected to end, in seconds; remember the best order."""
        self._ends = self._list(self._candidates, ranks, self._needs, self.followers)
        self.runs += 1
        end_s = max(self._ends)
        if end_s < self.best_s:
            self.best_s, self.best = end_s, tuple(ranks)
        return end_s

    def backward(self) -> Ranks:
        """Return the order got by scheduling from the end, what ended last in the last run first."""
        # Where a node ends backward is the time that is left from its start.
        return self._list(self._alike, self._ends, self.followers, self._needs)

    def _list(
        self,
        candidates: Sequence[Candidate],
        ranks: Ranks,
        needs: Sequence[Sequence[int]],
        followers: Sequence[Sequence[int]],
    ) -> list[float]:
        """Return when each node ends."""
        queue, waits = ReadyQueue(self._slots), [len(one) for one in needs]
        for number, waiting in enumerate(waits):
            if waiting == 0:
                queue.add(replace(candidates[number], rank=ranks[number]))
        ends = [0.0] * len(candidates)
        running: list[tuple[float, int]] = []
        now = 0.0
        while True:
            while (chosen := queue.take()) is not None:
                number = self._place[chosen.key]
                ends[number] = now + self._seconds[number]
                heapq.heappush(running, (ends[number], number))
            if not running:
                return ends
            now = running[0][0]
            while running and running[0][0] <= now + AT_ONCE_S:
                number = heapq.heappop(running)[1]
                queue.give_back(candidates[number].resources)
                for follower in followers[number]:
                    waits[follower] -= 1
                    if waits[follower] == 0:
                        queue.add(replace(candidates[follower], rank=ranks[follower]))
