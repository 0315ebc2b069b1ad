"""Runs a plan through the scheduler on virtual time with made-up work, and writes down everything that happened.

The trace is complete enough for ``scheduling_laws`` to judge it without asking the scheduler anything.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pantheon.core.dag import Plan, PlannedNode, PlannedTask
from pantheon.core.orders import Standing
from pantheon.core.records import NodeState
from pantheon.engine.node_end import Again, NodeEnded, Release
from pantheon.engine.scheduler import AT_ONCE, Scheduler
from pantheon.testing.virtual_time import run_virtually


@dataclass(frozen=True)
class Work:
    """What a node does when it runs."""

    seconds: float = 1.0
    """Until its slots are free."""
    record_s: float = 0.0
    """From there until its end is known."""
    fails: bool = False
    again_s: tuple[float, ...] = ()
    """Waits before further attempts: one attempt more for each."""


@dataclass(frozen=True, repr=False)
class Case:
    """A night to simulate."""

    nodes: tuple[PlannedNode, ...]
    tasks: Mapping[str, PlannedTask]
    slots: Mapping[str, int]
    work: Mapping[str, Work]
    """Node key -> what it does."""
    orders: tuple[tuple[float, Standing], ...] = ()
    """When which orders stand; times rise, and are none at which work or records end."""
    by_level: bool = False
    at_once: int = AT_ONCE
    end_s: float = 0.0
    """How long it takes to record nodes that never run."""

    def __repr__(self) -> str:
        """Return one short line a node, so that a counterexample can be read."""
        lines = [
            f"Case({dict(self.slots)} by_level={self.by_level} at_once={self.at_once} end_s={self.end_s}"
        ]
        for node in self.nodes:
            work, task = self.work[node.key], self.tasks[node.task]
            lines.append(
                f"{node.key} needs={node.needs} after={node.after} {node.node.resources} rank={node.rank}"
                f" {task.package!r}{task.priority:+} {work.seconds}+{work.record_s}s again={work.again_s}"
                f"{' fails' if work.fails else ''}"
            )
        lines += [f"{at}: {standing.model_dump(exclude_defaults=True)}" for at, standing in self.orders]
        return "\n  ".join(lines) + ")"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Have pretty printers take the short form too; theirs is too long to be of use."""
        printer.text("..." if cycle else repr(self))


@dataclass(frozen=True)
class Start:
    """An attempt that began."""

    at: float
    key: str
    free: Mapping[str, int]
    """Slots that were left once it had taken its own."""


@dataclass(frozen=True)
class Idle:
    """A moment when nothing more could happen before the time moved on."""

    at: float
    free: Mapping[str, int]
    open: int
    """Attempts between their start and their record."""


@dataclass
class Trace:
    """What happened."""

    case: Case
    starts: list[Start] = field(default_factory=list)
    freed: list[tuple[float, str]] = field(default_factory=list)
    """When whose slots were free again."""
    ended: dict[str, tuple[float, NodeEnded]] = field(default_factory=dict)
    """Key -> when and how it ended, as the scheduler was told or told us."""
    told_twice: list[str] = field(default_factory=list)
    again: dict[str, list[float]] = field(default_factory=dict)
    """Key -> when each of its further attempts was due."""
    idle: list[Idle] = field(default_factory=list)
    scheduler_says: Mapping[str, NodeEnded] = field(default_factory=dict)
    over_at: float = 0.0


class _Simulation:
    def __init__(self, case: Case) -> None:
        self.trace = Trace(case)
        self.free = dict(case.slots)
        self.running: set[str] = set()
        self.open = 0
        self.ending = 0
        self.tried: dict[str, int] = {}
        self.scheduler = Scheduler(
            plan=Plan(nodes=case.nodes),
            tasks=case.tasks,
            slots=case.slots,
            run=self.run,
            end=self.end,
            sleep=asyncio.sleep,
            by_level=case.by_level,
            at_once=case.at_once,
        )

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def run(self, node: PlannedNode, release: Release) -> NodeEnded | Again:
        work = self.trace.case.work[node.key]
        self._take(node)
        try:
            await asyncio.sleep(work.seconds)
            self._free(node)
            release()
            if work.record_s:
                await asyncio.sleep(work.record_s)
        finally:
            self._free(node)
            self.open -= 1
        number = self.tried[node.key]
        if number <= len(work.again_s):
            again = Again(work.again_s[number - 1])
            self.trace.again.setdefault(node.key, []).append(self.now + again.after_s)
            return again
        ended = NodeEnded(NodeState.FAILED if work.fails else NodeState.SUCCEEDED, "as planned")
        self._note_end(node.key, ended)
        return ended

    async def end(self, state: NodeState, cause: str, keys: tuple[str, ...]) -> None:
        for key in keys:
            self._note_end(key, NodeEnded(state, cause))
        self.ending += 1
        await asyncio.sleep(self.trace.case.end_s)
        self.ending -= 1

    def before_jump(self, now: float) -> None:
        if not self.ending:
            self.trace.idle.append(Idle(now, dict(self.free), self.open))

    async def main(self) -> Trace:
        async with asyncio.TaskGroup() as group:
            ordering = group.create_task(self._order(), name="operator")
            await self.scheduler.run_all()
            self.trace.over_at = self.now
            ordering.cancel()
        self.trace.scheduler_says = dict(self.scheduler.ended)
        return self.trace

    async def _order(self) -> None:
        for at, standing in self.trace.case.orders:
            await asyncio.sleep(at - self.now)
            self.scheduler.obey(standing)

    def _take(self, node: PlannedNode) -> None:
        self.open += 1
        self.running.add(node.key)
        self.tried[node.key] = self.tried.get(node.key, 0) + 1
        for name, cost in node.node.resources.items():
            if name in self.free:
                self.free[name] -= cost
        self.trace.starts.append(Start(self.now, node.key, dict(self.free)))

    def _free(self, node: PlannedNode) -> None:
        if node.key not in self.running:
            return
        self.running.remove(node.key)
        self.trace.freed.append((self.now, node.key))
        for name, cost in node.node.resources.items():
            if name in self.free:
                self.free[name] += cost

    def _note_end(self, key: str, ended: NodeEnded) -> None:
        if key in self.trace.ended:
            self.trace.told_twice.append(key)
        self.trace.ended[key] = (self.now, ended)


def simulate(case: Case) -> Trace:
    """Run a night on virtual time.

    Raises:
        StuckError: the scheduler waits for something that cannot come.
    """
    simulation = _Simulation(case)
    return run_virtually(simulation.main(), simulation.before_jump)
