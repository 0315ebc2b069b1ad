"""Drives the night's DAG: starts each node the moment its needs are done, inside the resource slots.

The scheduler holds the graph as plain dictionaries; which ready node starts next is ``core.dispatch``'s decision; what
a node does is the ``run`` callable's business. One failing node stops only its descendants.

Invariants:
- a node starts at most once at a time, after all its needs succeeded and all it comes after has ended;
- its slots are free again once its work is done, also while it waits for another attempt or is being recorded;
- at most ``at_once`` nodes are between their start and their record, so that memory does not grow with the night.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pantheon.core.dag import Plan, PlannedNode, PlannedTask
from pantheon.core.dispatch import Candidate
from pantheon.core.orders import Standing
from pantheon.core.records import NodeState
from pantheon.engine.frontier import Frontier
from pantheon.engine.node_end import Again, EndNodes, NodeEnded, RunNode, Sleep
from pantheon.engine.ready_room import ReadyRoom
from pantheon.engine.to_end import take_back_cancellation

MODEL = "model"
"""The resource whose slots are requests in flight to the model server."""
AT_ONCE = 128


@dataclass
class Scheduler:
    """One pass over a plan.

    Args:
        plan: the DAG.
        tasks: task key -> the planned task, for priority and package.
        slots: resource -> slots; resources that are not named are unlimited.
        run: executes one attempt of a node; must not raise but for cancellation and our own bugs.
        end: told of nodes that end without deciding anything, with their state, the cause and their keys.
        sleep: waits a number of seconds.
        ended: nodes that are terminal already, when a night is resumed.
        by_level: start a node only when every node of the levels below has ended, for comparison.
        at_once: nodes between their start and their record.
        admit: returns why a ready node may not start any more; empty when it may.
        may_start: tells whether the clock lets a ready node start now; one that it never lets stays unstarted.
    """

    plan: Plan
    tasks: Mapping[str, PlannedTask]
    slots: Mapping[str, int]
    run: RunNode
    end: EndNodes
    sleep: Sleep
    ended: dict[str, NodeEnded] = field(default_factory=dict)
    by_level: bool = False
    at_once: int = AT_ONCE
    admit: Callable[[PlannedNode], str] = lambda _: ""
    may_start: Callable[[Candidate], bool] = lambda _: True
    _frontier: Frontier = field(init=False)
    _ready: ReadyRoom = field(init=False)
    _running: dict[str, "asyncio.Task[None] | None"] = field(init=False, default_factory=dict)
    """Nodes that were started; None while the loop has not come to them yet."""
    _told: dict[str, str] = field(init=False, default_factory=dict)
    """Running node that was told that it is cancelled -> why."""
    _waiting: dict[str, "asyncio.Task[None]"] = field(init=False, default_factory=dict)
    _ends: deque[tuple[PlannedNode, NodeEnded]] = field(init=False, default_factory=deque)
    _wake: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _orders: deque[Standing] = field(init=False, default_factory=deque)
    _doomed: list[str] = field(init=False, default_factory=list)
    """Nodes that became ready after their task was cancelled."""
    _barred: deque[tuple[PlannedNode, str]] = field(init=False, default_factory=deque)
    _open: int = field(init=False, default=0)
    _stopping: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._frontier = Frontier(self.plan.nodes, by_level=self.by_level)
        self._ready = ReadyRoom(self.slots, self.tasks, self.may_start)

    @property
    def standing(self) -> Standing:
        """Where the operator's orders leave the night."""
        return self._ready.standing

    @standing.setter
    def standing(self, standing: Standing) -> None:
        self._ready.follow(standing)

    def stop(self) -> None:
        """Start nothing more; what runs is finished. Stopping twice changes nothing."""
        self._stopping = True
        self._wake.set()

    def obey(self, standing: Standing) -> None:
        """Take over what the operator has ordered so far."""
        self._orders.append(standing)
        self._wake.set()

    def hold_for_server(self, lost: bool) -> None:
        """Start no node that asks the model while its server is lost; the others go on."""
        self._ready.hold_for_server(lost)
        self._wake.set()

    def look_again(self) -> None:
        """Start what the clock lets start by now."""
        self._ready.look_again()
        self._wake.set()

    def resize_model(self, slots: int) -> None:
        """Change how many slots the model has."""
        self._ready.resize(MODEL, slots)
        self._wake.set()

    def reopen(self, keys: Iterable[str]) -> None:
        """Take up nodes again that had ended without success; the others stay as they are."""
        again = [
            key for key in keys if key in self.ended and self.ended[key].state is not NodeState.SUCCEEDED
        ]
        for key in again:
            del self.ended[key]
        for node in self._frontier.reopen(again):
            self._make_ready(node)
        self._wake.set()

    def node(self, key: str) -> PlannedNode:
        """Return a node of the plan."""
        return self._frontier.node(key)

    def why_told(self, key: str) -> str:
        """Return why a running node was told to end, whatever was ordered since; empty when it was not."""
        return self._told.get(key, "")

    async def run_all(self) -> None:
        """Run until every node that can run has ended, or until ``stop`` and the running ones are done.

        Cancellation:
            The running nodes are cancelled and awaited; their states are what ``run`` made durable.
        """
        async with asyncio.TaskGroup() as group:
            known = {key: ended.state is NodeState.SUCCEEDED for key, ended in self.ended.items()}
            for node in self._frontier.begin(known):
                self._make_ready(node)
            for key in [key for key, succeeded in known.items() if not succeeded]:
                await self._lose(self._frontier.node(key), self.ended[key])
            while self._go_on(group):
                await self._wake.wait()
                self._wake.clear()
                while self._ends:
                    await self._take_end(*self._ends.popleft())
                while self._orders:
                    await self._apply(self._orders.popleft())
                await self._cancel(self._doomed)
                while self._barred:
                    await self._bar(*self._barred.popleft())
            for waiting in self._waiting.values():
                waiting.cancel()

    def _go_on(self, group: asyncio.TaskGroup) -> bool:
        """Start what may start; tell whether anything is left to wait for."""
        self._start(group)
        if self._open or self._ends or self._orders or self._doomed or self._barred:
            return True
        # A paused night waits for the word to go on, one without a server for the server; one that only held tasks
        # are left of is over.
        return not self._stopping and (bool(self._waiting) or self._ready.waits_for_a_word)

    def _start(self, group: asyncio.TaskGroup) -> None:
        while not self._stopping and self._open < self.at_once:
            candidate = self._ready.take()
            if candidate is None:
                return
            node = self._frontier.node(candidate.key)
            if why := self.admit(node):
                self._ready.give_back(candidate.resources)
                self._barred.append((node, why))
                self._wake.set()
                continue
            self._open += 1
            self._running[node.key] = None
            group.create_task(self._run_one(group, node, candidate), name=f"node {node.key}")

    async def _run_one(self, group: asyncio.TaskGroup, node: PlannedNode, candidate: Candidate) -> None:
        released = False

        def release() -> None:
            nonlocal released
            if not released:
                released = True
                self._ready.give_back(candidate.resources)
                self._wake.set()

        self._running[node.key] = asyncio.current_task()
        try:
            if node.key in self._told:
                raise asyncio.CancelledError
            ended: NodeEnded | Again = await self.run(node, release)
        except asyncio.CancelledError:
            cause = self.why_told(node.key)
            if not cause:
                raise
            take_back_cancellation()
            ended = NodeEnded(NodeState.CANCELLED, cause)
            await self.end(ended.state, cause, (node.key,))
        finally:
            release()
            self._running.pop(node.key, None)
            told = self._told.pop(node.key, "")
        if isinstance(ended, Again) and told:
            self._make_ready(node)
        elif isinstance(ended, Again):
            # From now on, however long the ends of others take to be recorded.
            again = group.create_task(self._ready_later(node, ended.after_s), name=f"again {node.key}")
            self._waiting[node.key] = again
        else:
            self._ends.append((node, ended))
        self._open -= 1
        self._wake.set()

    async def _take_end(self, node: PlannedNode, ended: NodeEnded) -> None:
        self.ended[node.key] = ended
        await self._propagate(node, ended)

    async def _ready_later(self, node: PlannedNode, after_s: float) -> None:
        await self.sleep(after_s)
        del self._waiting[node.key]
        self._make_ready(node)
        self._wake.set()

    async def _propagate(self, node: PlannedNode, ended: NodeEnded) -> None:
        """Let what follows a node be ready, or end with it."""
        succeeded = ended.state is NodeState.SUCCEEDED
        for ready in self._frontier.end(node.key, succeeded=succeeded):
            self._make_ready(ready)
        if not succeeded:
            await self._lose(node, ended)

    async def _lose(self, node: PlannedNode, ended: NodeEnded) -> None:
        """End what needs a node that did not succeed."""
        name = f"{node.node.id} of task {node.task.rpartition('/')[2]}"
        cause = f"{name} {ended.state}: {ended.cause}"[:500]
        await self._end(self._frontier.below(node.key), NodeEnded(NodeState.SKIPPED, cause))

    async def _bar(self, node: PlannedNode, why: str) -> None:
        """End a node that was ready and may not start, with what needs it."""
        await self._end((node.key,), NodeEnded(NodeState.CANCELLED, why))
        await self._lose(node, self.ended[node.key])

    async def _end(self, keys: tuple[str, ...], ended: NodeEnded) -> None:
        """End nodes that never run; what comes after them, but does not need them, may start."""
        if not keys:
            return
        self._ready.remove(keys)
        for key in keys:
            self.ended[key] = ended
        ready = [node for key in keys for node in self._frontier.end(key, succeeded=False)]
        await self.end(ended.state, ended.cause, keys)
        for node in ready:
            if node.key not in self.ended:
                self._make_ready(node)

    async def _apply(self, standing: Standing) -> None:
        """Carry out what the operator ordered: cancel, hold, release; pausing is looked at before each start."""
        self._ready.follow(standing)
        if standing.cancels_any:
            cancelled = [task for task in self.tasks if standing.cancel_cause(task)]
            await self._cancel([key for task in cancelled for key in self._frontier.of_task(task)])

    async def _cancel(self, keys: list[str]) -> None:
        """End nodes of cancelled tasks: those that run are told, the others end here."""
        landing = {node.key for node, _ in self._ends}
        idle: dict[str, list[str]] = {}
        for key in keys:
            if key in self.ended or key in landing:
                continue
            if (again := self._waiting.pop(key, None)) is not None:
                again.cancel()
            cause = self.standing.cancel_cause(self.node(key).task)
            if key not in self._running:
                idle.setdefault(cause, []).append(key)
            elif self.node(key).node.gate != "merge" and key not in self._told:
                # A merge that has begun is finished: half of it must not stay unsaid. And nobody is told twice: the
                # second word would cut the recording of the first.
                self._told[key] = cause
                # One that was cancelled before its first step would never come to give its slots back.
                if (work := self._running[key]) is not None:
                    work.cancel()
        self._doomed = []
        for cause, ending in idle.items():
            await self._end(tuple(ending), NodeEnded(NodeState.CANCELLED, cause))
        for key in [key for ending in idle.values() for key in ending]:
            await self._lose(self.node(key), self.ended[key])

    def _make_ready(self, node: PlannedNode) -> None:
        if self.standing.cancel_cause(node.task):
            self._doomed.append(node.key)
            self._wake.set()
            return
        self._ready.add_node(node, self._frontier.place(node.key))
