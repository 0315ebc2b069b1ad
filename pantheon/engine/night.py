"""One night over the pending batches: open, plan, run, conclude, close.

Running the same command again is the resume: a night that was not closed is taken up where it stands. Its running
attempts are interrupted, what succeeded stays, and the rest is planned again.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pantheon.core.dag import Plan, PlannedNode, build_plan, node_key
from pantheon.core.errors import MergeConflictError
from pantheon.core.flow import Flow, route_task
from pantheon.core.lifecycle import TERMINAL
from pantheon.core.outcomes import NodeEnd, conclude_task
from pantheon.core.records import (
    AttemptOutcome,
    NightRecord,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
)
from pantheon.core.task import Task
from pantheon.engine.attempt import AttemptRunner, NodeResult
from pantheon.engine.gatekeeper import Gatekeeper
from pantheon.engine.node import NodeExecutor
from pantheon.engine.scheduler import NodeEnded, Scheduler
from pantheon.engine.services import NightContext, NodeContext, Services

OWN_TIMEOUT_S = 30.0
"""Added to a node's time-out for what surrounds the work: work tree, artifacts, signature."""


@dataclass(frozen=True)
class NightSummary:
    """How a night ended."""

    night: str
    branch: str
    outcomes: Mapping[str, int]
    """Outcome -> number of tasks."""
    tasks: tuple[TaskRecord, ...]
    wall_s: float
    left_open: bool
    """Whether it was drained with work left, to be resumed."""


@dataclass(frozen=True)
class Progress:
    """One thing that happened, for whoever watches."""

    task: str
    node: str
    event: str
    """``started``, ``succeeded``, ``failed``, ``skipped``, ``task``."""
    cause: str = ""
    ended: int = 0
    """Nodes that have ended."""
    total: int = 0


Watch = Callable[[Progress], None]


@dataclass
class Night:
    """Runs one night. Drained from outside, it stays open; at the end of its budget it is closed with work left.

    Args:
        services: ports and content.
        slots: resource -> slots.
        owner: names this process in leases.
        lease_s: length of a lease, in seconds.
        watch: told of each step; must be quick.
        stopping: set to start nothing more.
    """

    services: Services
    slots: Mapping[str, int]
    owner: str
    lease_s: float
    watch: Watch
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _tokens: int = field(init=False, default=0)
    _spent: bool = field(init=False, default=False)
    _began: float = field(init=False, default=0.0)

    async def run(self, record: NightRecord, keys: Sequence[str]) -> NightSummary:
        """Work the tasks and close the night.

        Args:
            record: the night; known to the store already when it is resumed.
            keys: tasks to take, when the night is new.

        Raises:
            StoreError, GitError, FlowError: the night cannot go on; running the command again resumes it.

        Cancellation:
            Running attempts are settled as cancelled; the night stays open and can be resumed.
        """
        self._began = self.services.clock.monotonic()
        store = self.services.store
        await store.open_night(record, keys)
        await store.sweep(record.id, expired_only=False)
        run = await _NightRun.prepare(self, record)
        await run.finish_ended()
        await run.scheduler.run_all()
        drained = self.stopping.is_set() and not self._spent
        tasks = await (store.tasks(night=record.id) if drained else run.conclude())
        outcomes: dict[str, int] = {}
        for task in tasks:
            name = "open" if task.outcome is None else str(task.outcome)
            outcomes[name] = outcomes.get(name, 0) + 1
        wall_s = self.services.clock.monotonic() - self._began
        left_open = "open" in outcomes
        if not left_open:
            await store.close_night(record.id, {"outcomes": outcomes, "wall_s": round(wall_s, 3)})
        return NightSummary(
            night=record.id,
            branch=record.branch,
            outcomes=outcomes,
            tasks=tasks,
            wall_s=wall_s,
            left_open=left_open,
        )

    def spend(self, completion_tokens: int) -> None:
        """Count what an attempt cost; once the night's budget is spent nothing new starts."""
        self._tokens += completion_tokens
        budget = self.services.content.night_policy.budget
        wall_s = self.services.clock.monotonic() - self._began
        if self._tokens >= budget.output_tokens or wall_s >= budget.wall_s:
            self._spent = True
            self.stopping.set()


@dataclass
class _NightRun:
    """The state of one night in this process."""

    night: Night
    context: NightContext
    tasks: dict[str, tuple[Task, Flow]]
    plan: Plan
    runner: AttemptRunner
    commits: dict[str, str]
    """Node key -> output commit of nodes that succeeded."""
    outputs: dict[str, Mapping[str, Any]]
    """Node key -> output of nodes that succeeded."""
    ends: dict[str, NodeEnd]
    scheduler: Scheduler = field(init=False)

    @classmethod
    async def prepare(cls, night: Night, record: NightRecord) -> "_NightRun":
        services = night.services
        records = await services.store.tasks(night=record.id)
        tasks = {}
        for one in records:
            task = Task.model_validate_json(one.line)
            flow = route_task(task, services.content.flows.values())
            tasks[one.key] = (task, flow.for_target(task.targets[0] if task.targets else ""))
        needs = {
            key: [f"{key.rpartition('/')[0]}/{need}" for need in task.needs]
            for key, (task, _) in tasks.items()
            if task.needs
        }
        plan = await asyncio.to_thread(build_plan, tasks, needs)
        await services.store.add_nodes(
            [
                NodeRecord(night=record.id, key=n.key, task=n.task, node=n.node.id, needs=n.needs)
                for n in plan.nodes
            ]
        )
        context = NightContext(
            id=record.id,
            branch=record.branch,
            base_commit=record.base_commit,
            owner=night.owner,
            lease_s=night.lease_s,
        )
        executor = NodeExecutor(services, Gatekeeper(services))
        run = cls(
            night=night, context=context, tasks=tasks, plan=plan,
            runner=AttemptRunner(services, executor), commits={}, outputs={}, ends={},
        )  # fmt: skip
        await run._restore(record.id)
        run.scheduler = Scheduler(
            plan=plan,
            slots=night.slots,
            priority={key: task.priority for key, (task, _) in tasks.items()},
            run=run._run_node,
            skip=run._skip,
            ended={key: NodeEnded(end.state, end.cause) for key, end in run.ends.items()},
            stopping=night.stopping,
        )
        return run

    async def _restore(self, night: str) -> None:
        """Take up what an earlier process of the same night has finished."""
        store = self.night.services.store
        planned = {node.key: node for node in self.plan.nodes}
        attempts = await store.attempts(night)
        attempted = {attempt.node for attempt in attempts}
        crashed = {
            attempt.node
            for attempt in attempts
            if attempt.result is not None and attempt.result.outcome is not AttemptOutcome.FAILED
        }
        for record in await store.nodes(night):
            if record.state in TERMINAL and record.key in planned:
                inherited = record.state is NodeState.SKIPPED and record.key not in attempted
                self.ends[record.key] = self._end(
                    planned[record.key],
                    record.state,
                    record.cause,
                    inherited=inherited,
                    crashed=record.key in crashed,
                )
                if record.output_commit is not None:
                    self.commits[record.key] = record.output_commit
        for attempt in attempts:
            if attempt.result is not None and attempt.result.node_state is NodeState.SUCCEEDED:
                self.outputs[attempt.node] = attempt.result.metrics.get("output") or {}

    async def _run_node(self, planned: PlannedNode) -> NodeEnded:
        self._tell(planned, "started")
        result = await self._attempts(planned)
        if result.state is NodeState.SUCCEEDED and result.commit is not None:
            self.commits[planned.key] = result.commit
            self.outputs[planned.key] = result.output or {}
        crashed = result.outcome is not AttemptOutcome.FAILED
        self.ends[planned.key] = self._end(planned, result.state, result.cause, crashed=crashed)
        self._tell(planned, str(result.state), result.cause)
        if result.state is NodeState.SUCCEEDED and planned.node.id in self.tasks[planned.task][1].sinks:
            await self._finish(planned.task)
        return NodeEnded(result.state, result.cause)

    async def _attempts(self, planned: PlannedNode) -> NodeResult:
        """Run attempts of a node until one decides."""
        context = await self._context(planned)
        await self.night.services.store.make_ready(self.context.id, [planned.key])
        limit = planned.node.retries + 1
        for tried in range(1, limit + 1):
            result = await self.runner.run(
                planned.key,
                context,
                timeout_s=planned.node.timeout_s + OWN_TIMEOUT_S,
                tried=tried,
                limit=limit,
            )
            self.night.spend(result.completion_tokens)
            if result.retry is None:
                break
            self._tell(planned, "again", result.cause)
            await self.night.services.clock.sleep(result.retry.after_s)
        return result

    async def _context(self, planned: PlannedNode) -> NodeContext:
        """Gather what a node starts from: the merge of its needs' commits and the outputs of its task so far."""
        task, flow = self.tasks[planned.task]
        own = [key for key in planned.needs if key.startswith(f"{planned.task}#")]
        base = await self._base_commit(planned.task)
        needed = [self.commits[key] for key in own] or [base]
        conflict = ""
        try:
            start = await self.night.services.repository.merge(needed)
        except MergeConflictError as error:
            start, conflict = needed[0], error.message
        upstream = {
            node.id: self.outputs[key]
            for node in flow.node
            if (key := node_key(planned.task, node.id)) in self.outputs
        }
        return NodeContext(
            night=self.context,
            task_key=planned.task,
            task=task,
            flow=flow,
            node=planned.node,
            attempt=1,
            base_commit=base,
            input_commit=start,
            conflict=conflict,
            upstream=upstream,
        )

    async def _base_commit(self, task_key: str) -> str:
        """Return where a task's change starts: the landed commits of the tasks it needs, else the night's base."""
        task, _ = self.tasks[task_key]
        batch = task_key.rpartition("/")[0]
        landed = [
            self.commits[node_key(f"{batch}/{need}", sink)]
            for need in task.needs
            for sink in self.tasks[f"{batch}/{need}"][1].sinks
        ]
        if not landed:
            return self.context.base_commit
        return await self.night.services.repository.merge(landed)

    async def _skip(self, planned: PlannedNode, ended: NodeEnded, lost: tuple[str, ...]) -> None:
        """Record that the descendants of a node never run, and conclude the tasks this ends."""
        nodes = {node.key: node for node in self.plan.nodes}
        cause = f"{planned.node.id} of task {planned.task.rpartition('/')[2]} {ended.state}: {ended.cause}"
        await self.night.services.store.end_nodes(self.context.id, list(lost), NodeState.SKIPPED, cause[:500])
        for key in lost:
            self.ends[key] = self._end(nodes[key], NodeState.SKIPPED, cause[:500], inherited=True)
        for task in dict.fromkeys([planned.task, *(nodes[key].task for key in lost)]):
            await self._finish(task)

    async def _finish(self, task_key: str) -> None:
        """Record a task's outcome once all of its nodes have ended."""
        _, flow = self.tasks[task_key]
        keys = [node_key(task_key, node.id) for node in flow.node]
        if not all(key in self.ends for key in keys):
            return
        outcome, cause = conclude_task([self.ends[key] for key in keys])
        await self.night.services.store.finish_task(self.context.id, task_key, outcome, cause)
        self.night.watch(Progress(task=task_key, node="", event=str(outcome), cause=cause, **self._counts()))

    async def finish_ended(self) -> None:
        """Conclude the tasks whose nodes had all ended when an earlier process died."""
        for task in self.tasks:
            await self._finish(task)

    async def conclude(self) -> tuple[TaskRecord, ...]:
        """Give every task of the night an outcome and return them."""
        store = self.night.services.store
        for record in await store.tasks(night=self.context.id):
            if record.outcome is None:
                await store.finish_task(
                    self.context.id, record.key, TaskOutcome.NOT_REACHED, "the night ended before it"
                )
        return await store.tasks(night=self.context.id)

    def _end(
        self,
        planned: PlannedNode,
        state: NodeState,
        cause: str,
        *,
        inherited: bool = False,
        crashed: bool = False,
    ) -> NodeEnd:
        return NodeEnd(
            node=planned.node.id,
            state=state,
            gate=planned.node.gate is not None and not crashed,
            sink=planned.node.id in self.tasks[planned.task][1].sinks,
            cause=cause,
            inherited=inherited,
        )

    def _counts(self) -> dict[str, int]:
        return {"ended": len(self.ends), "total": len(self.plan.nodes)}

    def _tell(self, planned: PlannedNode, event: str, cause: str = "") -> None:
        self.night.watch(
            Progress(task=planned.task, node=planned.node.id, event=event, cause=cause, **self._counts())
        )
