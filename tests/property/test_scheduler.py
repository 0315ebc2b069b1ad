"""The scheduler's laws on any DAG: no dependency, no slot is ever violated, and one failure stops only what follows."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from pantheon.core.dag import Plan, PlannedNode, PlannedTask
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.records import NodeState
from pantheon.engine.node_end import NodeEnded, Release
from pantheon.engine.scheduler import Scheduler


@st.composite
def plans(draw: st.DrawFn) -> tuple[Plan, frozenset[str]]:
    """A DAG of up to 14 nodes, and which of them fail."""
    count = draw(st.integers(1, 14))
    nodes = []
    for place in range(count):
        needs = draw(st.sets(st.integers(0, place - 1), max_size=3)) if place else set()
        resources = draw(st.dictionaries(st.sampled_from(["cpu", "model"]), st.integers(1, 2), max_size=2))
        nodes.append(
            PlannedNode(
                key=f"t{place % 3}#n{place}",
                task=f"t{place % 3}",
                node=FlowNode(id=f"n{place}", tool="x", resources=resources),
                needs=tuple(f"t{need % 3}#n{need}" for need in sorted(needs)),
                level=0,
                rank=float(draw(st.integers(0, 5))),
            )
        )
    failing = draw(st.sets(st.sampled_from([node.key for node in nodes])))
    return Plan(nodes=tuple(nodes)), frozenset(failing)


FLOW = Flow(name="f", accepts=("k",), node=(FlowNode(id="n", tool="t"),))
TASKS = {name: PlannedTask(flow=FLOW) for name in ("t", "t0", "t1", "t2")}


class Watcher:
    """Runs nodes by yielding a few times, and asserts the laws while it does."""

    def __init__(self, plan: Plan, failing: frozenset[str]) -> None:
        self.plan = plan
        self.failing = failing
        self.free = {"cpu": 2, "model": 2}
        self.started: list[str] = []
        self.ended: dict[str, NodeEnded] = {}
        self.skipped: list[str] = []

    async def run(self, planned: PlannedNode, release: Release) -> NodeEnded:
        self.started.append(planned.key)
        assert all(self.ended[need].state is NodeState.SUCCEEDED for need in planned.needs)
        for name, cost in planned.node.resources.items():
            self.free[name] -= cost
            assert self.free[name] >= 0
        for _ in range(len(planned.key) % 3 + 1):
            await asyncio.sleep(0)
        for name, cost in planned.node.resources.items():
            self.free[name] += cost
        state = NodeState.FAILED if planned.key in self.failing else NodeState.SUCCEEDED
        self.ended[planned.key] = NodeEnded(state)
        return self.ended[planned.key]

    async def end(self, state: NodeState, cause: str, keys: tuple[str, ...]) -> None:
        assert state is NodeState.SKIPPED
        self.skipped.extend(keys)

    def scheduler(self, ended: dict[str, NodeEnded] | None = None, **more: object) -> Scheduler:
        return Scheduler(
            plan=self.plan,
            tasks=TASKS,
            slots={"cpu": 2, "model": 2},
            run=self.run,
            end=self.end,
            sleep=asyncio.sleep,
            ended=ended or {},
            **more,
        )


def doomed(plan: Plan, failing: frozenset[str]) -> set[str]:
    """Nodes below a node that fails."""
    lost: set[str] = set()
    for node in plan.nodes:
        if any(need in lost or need in failing for need in node.needs):
            lost.add(node.key)
    return lost


@settings(max_examples=150)
@given(plans())
def test_every_node_runs_once_or_is_skipped_for_a_reason(case: tuple[Plan, frozenset[str]]) -> None:
    """What can run runs exactly once; what follows a failure is skipped exactly once; nothing is forgotten."""
    plan, failing = case
    watcher = Watcher(plan, failing)
    asyncio.run(watcher.scheduler().run_all())
    lost = doomed(plan, failing)
    assert sorted(watcher.skipped) == sorted(lost)
    assert sorted(watcher.started) == sorted({node.key for node in plan.nodes} - lost)


@settings(max_examples=80)
@given(plans(), st.data())
def test_a_resumed_plan_runs_only_what_is_left(
    case: tuple[Plan, frozenset[str]], data: st.DataObject
) -> None:
    """Nodes that succeeded before are not run again, and the rest runs as if they had been."""
    plan, failing = case
    cut = data.draw(st.integers(0, len(plan.nodes)))
    lost = doomed(plan, failing)
    done = {node.key for node in plan.nodes[:cut]} - lost - failing
    watcher = Watcher(plan, failing)
    watcher.ended = {key: NodeEnded(NodeState.SUCCEEDED) for key in done}
    asyncio.run(watcher.scheduler(dict(watcher.ended)).run_all())
    assert not set(watcher.started) & done
    assert set(watcher.started) | done == {node.key for node in plan.nodes} - lost


@given(plans())
def test_stopping_starts_nothing_more(case: tuple[Plan, frozenset[str]]) -> None:
    """A scheduler that is told to stop finishes what runs and starts nothing."""
    plan, failing = case
    watcher = Watcher(plan, failing)
    scheduler = watcher.scheduler()
    scheduler.stop()
    asyncio.run(scheduler.run_all())
    assert watcher.started == []


def test_cancellation_reaches_every_running_node() -> None:
    """Cancelling the scheduler cancels and awaits what runs."""
    nodes = tuple(
        PlannedNode(key=f"t#n{n}", task="t", node=FlowNode(id=f"n{n}", tool="x"), level=0, rank=0)
        for n in range(3)
    )
    ended: list[str] = []
    started = asyncio.Semaphore(0)

    async def run(planned: PlannedNode, release: Release) -> NodeEnded:
        started.release()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(planned.key)
        return NodeEnded(NodeState.SUCCEEDED)

    async def end(state: NodeState, cause: str, keys: tuple[str, ...]) -> None:
        raise AssertionError("nothing is skipped")

    async def main() -> None:
        scheduler = Scheduler(Plan(nodes=nodes), TASKS, {}, run, end, asyncio.sleep)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(scheduler.run_all(), name="night")
            for _ in nodes:
                await started.acquire()
            running.cancel()
        assert running.cancelled()
        assert sorted(ended) == ["t#n0", "t#n1", "t#n2"]

    asyncio.run(main())
