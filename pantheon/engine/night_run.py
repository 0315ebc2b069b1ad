"""One night in this process: runs its nodes through the scheduler and records what becomes of its tasks."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from pantheon.core.budget import Usage
from pantheon.core.dag import Plan, PlannedNode, PlannedTask
from pantheon.core.lifecycle import TERMINAL
from pantheon.core.records import (
    AttemptOutcome,
    AttemptRecord,
    AttemptResult,
    Conclusion,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
)
from pantheon.core.retry import FailureKind
from pantheon.core.spending import NOT_STARTED
from pantheon.engine.attempt import AttemptRunner, Try
from pantheon.engine.attempt_record import SERVER_FAULT
from pantheon.engine.night_state import NightState
from pantheon.engine.node_end import Again, NodeEnded, Release
from pantheon.engine.results import NodeResult
from pantheon.engine.scheduler import Scheduler
from pantheon.engine.services import NightContext
from pantheon.engine.starting_point import StartingPoint
from pantheon.engine.to_end import take_back_cancellation, to_end
from pantheon.ports.store import Store

MAX_INTERRUPTIONS = 5
"""A node that was running each of these times its process died takes the process down: it is given up."""
CHUNK = 256
"""Tasks whose outcomes are recorded together."""
_DECIDED_NOTHING = frozenset({AttemptOutcome.CANCELLED, AttemptOutcome.INTERRUPTED})


Spend = Callable[[PlannedNode, Usage], None]
"""Told what an attempt of a node has used."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that happened, for whoever watches."""

    task: str
    node: str
    event: str
    """For a node ``started``, ``again`` or its terminal state; for a task, which has no node, its outcome; for the
    model server, which has neither, what became of it."""
    cause: str = ""
    ended: int = 0
    """Nodes that have ended."""
    total: int = 0


Watch = Callable[[Progress], None]


@dataclass
class NightRun:
    """The nodes of one night, from the store's state to the tasks' outcomes.

    Args:
        store: the night's state.
        context: the night under way.
        plan: the DAG.
        tasks: task key -> the planned task.
        starts: gathers what attempts start from.
        state: what has ended so far.
        runner: runs attempts.
        watch: told of each step.
    """

    store: Store
    context: NightContext
    plan: Plan
    tasks: Mapping[str, PlannedTask]
    starts: StartingPoint
    state: NightState
    runner: AttemptRunner
    watch: Watch
    scheduler: Scheduler = field(init=False)
    spend: Spend = field(init=False)

    def join(self, scheduler: Scheduler, spend: Spend) -> None:
        """Name the scheduler that runs these nodes, and who is told what each attempt cost."""
        self.scheduler, self.spend = scheduler, spend

    async def restore(self, nodes: Iterable[NodeRecord], attempts: Iterable[AttemptRecord]) -> None:
        """Take up what earlier processes of the night have finished, and give up what took them down."""
        planned = {node.key: node for node in self.plan.nodes}
        last: dict[str, AttemptRecord] = {}
        interrupted: dict[str, int] = {}
        for attempt in attempts:
            last[attempt.node] = attempt
            outcome = None if attempt.result is None else attempt.result.outcome
            if outcome is AttemptOutcome.INTERRUPTED:
                interrupted[attempt.node] = interrupted.get(attempt.node, 0) + 1
            elif _is_server_fault(attempt.result):
                self.state.lose(attempt.node)
            elif outcome is not None and outcome not in _DECIDED_NOTHING:
                self.state.try_again(attempt.node, self.state.tried(attempt.node) + 1)
        for record in nodes:
            if record.key not in planned:
                continue
            if record.state in TERMINAL:
                self._note_end(planned[record.key], record, last.get(record.key))
                self.scheduler.ended[record.key] = NodeEnded(record.state, record.cause)
            elif (deaths := interrupted.get(record.key, 0)) >= MAX_INTERRUPTIONS:
                cause = f"interrupted {deaths} times: the process died whenever it ran; quarantined"
                await self.store.end_nodes(self.context.id, [record.key], NodeState.CANCELLED, cause)
                self.state.end(planned[record.key], NodeState.FAILED, cause, crashed=True)
                self.scheduler.ended[record.key] = NodeEnded(NodeState.FAILED, cause)

    async def reopen(self, tasks: Collection[str]) -> None:
        """Take up tasks again whose nodes the operator has put back."""
        night = self.context.id
        last = {attempt.node: attempt for attempt in await self.store.attempts(night)}
        again = []
        for record in await self.store.nodes(night):
            if record.task not in tasks:
                continue
            planned = self.scheduler.node(record.key)
            if record.state in TERMINAL:
                self._note_end(planned, record, last.get(record.key))
            elif record.state is not NodeState.RUNNING:
                self.state.reopen(planned)
                again.append(record.key)
        self.scheduler.reopen(again)

    def _note_end(self, planned: PlannedNode, record: NodeRecord, last: AttemptRecord | None) -> None:
        result = None if last is None else last.result
        self.state.end(
            planned,
            record.state,
            record.cause,
            inherited=(record.state is NodeState.SKIPPED and last is None)
            or (record.state is NodeState.CANCELLED and _is_server_fault(result))
            or record.cause.startswith(NOT_STARTED),
            crashed=result is not None and result.outcome is not AttemptOutcome.FAILED,
            commit=record.output_commit,
            output=None if result is None else result.metrics.get("output"),
        )

    async def run_node(self, planned: PlannedNode, release: Release) -> NodeEnded | Again:
        """Run one attempt of a node."""

        conclusion: Conclusion | None = None

        def done(result: NodeResult) -> Conclusion | None:
            nonlocal conclusion
            # Counted before the slot is free: a spent budget must keep the next node from it.
            self.spend(planned, result.used)
            if result.retry is None:
                self._end(planned, result)
                conclusion = self._conclusion_with(planned)
            release()
            return conclusion

        self._tell(planned, "started")
        result = await self.runner.run(
            Try(
                night=self.context,
                planned=planned,
                prepare=lambda attempt: self.starts.gather(planned, attempt),
                tried=self.state.tried(planned.key),
                lost=self.state.lost(planned.key),
                done=done,
                cut=partial(self.spend, planned),
                cancelled=lambda: self.scheduler.why_told(planned.key),
            )
        )
        if result.retry is not None and result.kind is FailureKind.SERVER:
            self.state.lose(planned.key)
        elif result.retry is not None:
            self.state.try_again(planned.key, self.state.tried(planned.key) + 1)
        if result.retry is not None:
            self._tell(planned, "again", result.cause)
            return Again(result.retry.after_s)
        self._tell(planned, result.state.value, result.cause)
        if conclusion is not None:
            self._tell_task(conclusion)
        else:
            _, cut = await to_end(self._conclude(planned.task))
            if cut:
                if not self.scheduler.why_told(planned.key):
                    raise asyncio.CancelledError
                # Ordered when the node had ended already: what is recorded stands.
                take_back_cancellation()
        return NodeEnded(result.state, result.cause)

    async def end_nodes(self, state: NodeState, cause: str, keys: tuple[str, ...]) -> None:
        """Record that nodes never run, and conclude the tasks this ends."""
        await self.store.end_nodes(self.context.id, list(keys), state, cause)
        touched = dict.fromkeys(self.scheduler.node(key).task for key in keys)
        for key in keys:
            inherited = state is NodeState.SKIPPED or cause.startswith(NOT_STARTED)
            self.state.end(self.scheduler.node(key), state, cause, inherited=inherited)
        await self.conclude_all(touched)

    async def conclude_all(self, tasks: Iterable[str]) -> None:
        """Conclude those of the tasks whose nodes have all ended."""
        keys = [task for task in tasks if self.state.under_way(task)]
        for start in range(0, len(keys), CHUNK):
            async with asyncio.TaskGroup() as group:
                for key in keys[start : start + CHUNK]:
                    group.create_task(self._conclude(key), name=f"conclude {key}")

    async def leave_unreached(self, tasks: Iterable[TaskRecord], cause: str) -> None:
        """Record that tasks without an outcome were not reached."""
        keys = [task.key for task in tasks if task.outcome is None]
        for start in range(0, len(keys), CHUNK):
            async with asyncio.TaskGroup() as group:
                for key in keys[start : start + CHUNK]:
                    why = self.scheduler.standing.hold_cause(key) or cause
                    finish = self.store.finish_task(self.context.id, key, TaskOutcome.NOT_REACHED, why)
                    group.create_task(finish, name=f"leave {key}")

    def _end(self, planned: PlannedNode, result: NodeResult) -> None:
        self.state.end(
            planned,
            result.state,
            result.cause,
            inherited=result.kind is FailureKind.SERVER and result.state is NodeState.CANCELLED,
            crashed=result.outcome is not AttemptOutcome.FAILED,
            commit=result.commit,
            output=result.output,
        )

    def _conclusion_with(self, planned: PlannedNode) -> Conclusion | None:
        """Return what becomes of a task with the end of its only sink, which is recorded together with it.

        Before a sink that is not the only one another may have ended and not be recorded yet.
        """
        if self.tasks[planned.task].flow.sinks != (planned.node.id,):
            return None
        return self.state.conclude(planned.task)

    async def _conclude(self, task: str) -> None:
        conclusion = self.state.conclude(task)
        if conclusion is not None:
            await self.store.finish_task(self.context.id, task, conclusion.outcome, conclusion.cause)
            self._tell_task(conclusion)

    def _tell_task(self, conclusion: Conclusion) -> None:
        ended, total = len(self.scheduler.ended), len(self.plan.nodes)
        self.watch(Progress(conclusion.task, "", conclusion.outcome.value, conclusion.cause, ended, total))

    def tell_server(self, event: str, why: str) -> None:
        """Tell whoever watches what happens to the model server."""
        self.watch(Progress("", "", event, why, len(self.scheduler.ended), len(self.plan.nodes)))

    def _tell(self, planned: PlannedNode, event: str, cause: str = "") -> None:
        ended, total = len(self.scheduler.ended), len(self.plan.nodes)
        self.watch(Progress(planned.task, planned.node.id, event, cause, ended, total))


def _is_server_fault(result: AttemptResult | None) -> bool:
    return result is not None and result.metrics.get("fault") == SERVER_FAULT
