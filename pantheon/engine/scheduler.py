"""Drives the night's DAG: starts each node the moment its needs are done, inside the resource slots.

The scheduler holds the graph as plain dictionaries; what to start next is ``core.dispatch``'s decision; what a
node does is the ``run`` callable's business. One failing node stops only its descendants.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from pantheon.core.dag import Plan, PlannedNode
from pantheon.core.dispatch import Candidate, plan_dispatch
from pantheon.core.records import NodeState


@dataclass(frozen=True)
class NodeEnded:
    """How a node ended."""

    state: NodeState
    cause: str = ""


RunNode = Callable[[PlannedNode], Awaitable[NodeEnded]]
SkipNodes = Callable[[PlannedNode, NodeEnded, tuple[str, ...]], Awaitable[None]]


@dataclass
class Scheduler:
    """One pass over a plan.

    Args:
        plan: the DAG.
        slots: resource -> slots; resources that are not named are unlimited.
        priority: task key -> the task's priority.
        run: executes a node to a terminal state; must not raise but for cancellation and our own bugs.
        skip: told once per node that did not succeed, with the keys of the descendants that now never run.
        ended: nodes that are terminal already, when a night is resumed.
        stopping: set from outside to start nothing more; what runs is finished.
    """

    plan: Plan
    slots: Mapping[str, int]
    priority: Mapping[str, int]
    run: RunNode
    skip: SkipNodes
    ended: dict[str, NodeEnded] = field(default_factory=dict)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _nodes: dict[str, PlannedNode] = field(init=False)
    _after: dict[str, list[str]] = field(init=False)
    _open_needs: dict[str, int] = field(init=False)
    _order: dict[str, int] = field(init=False)
    _ready: dict[str, Candidate] = field(init=False, default_factory=dict)
    _free: dict[str, int] = field(init=False)
    _begun: set[str] = field(init=False, default_factory=set)
    _running: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._nodes = {node.key: node for node in self.plan.nodes}
        self._order = {key: place for place, key in enumerate(self._nodes)}
        self._after = {key: [] for key in self._nodes}
        for node in self.plan.nodes:
            for need in node.needs:
                self._after[need].append(node.key)
        self._open_needs = {node.key: len(node.needs) for node in self.plan.nodes}
        self._free = dict(self.slots)

    async def run_all(self) -> None:
        """Run until every node that can run has ended, or until ``stopping`` and the running ones are done.

        Cancellation:
            The running nodes are cancelled and awaited; their states are what ``run`` made durable.
        """
        finished: asyncio.Queue[tuple[PlannedNode, NodeEnded]] = asyncio.Queue(maxsize=len(self._nodes) or 1)
        for node in self.plan.nodes:
            if (known := self.ended.get(node.key)) is not None:
                await self._propagate(node, known, resumed=True)
            elif not node.needs:
                self._make_ready(node)
        async with asyncio.TaskGroup() as group:
            self._start(group, finished)
            while self._running:
                node, ended = await finished.get()
                self._running -= 1
                for name, cost in node.node.resources.items():
                    if name in self._free:
                        self._free[name] += cost
                self.ended[node.key] = ended
                await self._propagate(node, ended, resumed=False)
                self._start(group, finished)

    def _start(
        self, group: asyncio.TaskGroup, finished: asyncio.Queue[tuple[PlannedNode, NodeEnded]]
    ) -> None:
        if self.stopping.is_set():
            return
        for key in plan_dispatch(list(self._ready.values()), self._free):
            node = self._nodes[key]
            del self._ready[key]
            for name, cost in node.node.resources.items():
                if name in self._free:
                    self._free[name] -= cost
            self._running += 1
            if node.node.agent is not None:
                self._mark_begun(node.task)
            group.create_task(self._run_one(node, finished), name=f"node {key}")

    async def _run_one(
        self, node: PlannedNode, finished: asyncio.Queue[tuple[PlannedNode, NodeEnded]]
    ) -> None:
        finished.put_nowait((node, await self.run(node)))

    async def _propagate(self, node: PlannedNode, ended: NodeEnded, *, resumed: bool) -> None:
        if ended.state is NodeState.SUCCEEDED:
            for key in self._after[node.key]:
                self._open_needs[key] -= 1
                if self._open_needs[key] == 0 and key not in self.ended:
                    self._make_ready(self._nodes[key])
            return
        lost = self._descendants(node.key)
        for key in lost:
            self.ended[key] = NodeEnded(NodeState.SKIPPED, f"{node.key} did not succeed")
        if lost or not resumed:
            await self.skip(node, ended, lost)

    def _descendants(self, key: str) -> tuple[str, ...]:
        """Return the nodes below ``key`` that have not ended, in plan order."""
        found: set[str] = set()
        open_keys = [key]
        while open_keys:
            for below in self._after[open_keys.pop()]:
                if below not in found and below not in self.ended:
                    found.add(below)
                    open_keys.append(below)
        return tuple(sorted(found, key=self._order.__getitem__))

    def _make_ready(self, node: PlannedNode) -> None:
        self._ready[node.key] = Candidate(
            key=node.key,
            task=node.task,
            priority=self.priority.get(node.task, 0),
            rank=node.rank,
            order=self._order[node.key],
            resources=node.node.resources,
            begun=node.task in self._begun,
        )

    def _mark_begun(self, task: str) -> None:
        if task in self._begun:
            return
        self._begun.add(task)
        for key, candidate in self._ready.items():
            if candidate.task == task:
                self._ready[key] = candidate.model_copy(update={"begun": True})
