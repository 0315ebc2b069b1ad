"""The scheduler's single promises: order, slots given back, stopping in the middle, what it does with our own bugs."""

import asyncio

import pytest

from pantheon.core.dag import Plan, PlannedNode
from pantheon.core.flow import FlowNode
from pantheon.core.records import NodeState
from pantheon.engine.scheduler import NodeEnded, Scheduler

DONE = NodeEnded(NodeState.SUCCEEDED)


def planned(key: str, *needs: str, rank: float = 1.0, agent: bool = False, **resources: int) -> PlannedNode:
    """A node ``task#id``."""
    task, _, name = key.partition("#")
    node = FlowNode(id=name, agent="a" if agent else None, tool=None if agent else "t", resources=resources)
    return PlannedNode(key=key, task=task, node=node, needs=needs, level=0, rank=rank)


class Recorder:
    """Runs every node in no time and writes down what it was told."""

    def __init__(self, *nodes: PlannedNode, **outcomes: NodeEnded) -> None:
        self.plan = Plan(nodes=nodes, critical_path=(), critical_s=0.0)
        self.outcomes = {key.replace("_", "#"): ended for key, ended in outcomes.items()}
        self.started: list[str] = []
        self.skips: list[tuple[str, NodeState, tuple[str, ...]]] = []

    async def run(self, node: PlannedNode) -> NodeEnded:
        self.started.append(node.key)
        await asyncio.sleep(0)
        return self.outcomes.get(node.key, DONE)

    async def skip(self, node: PlannedNode, ended: NodeEnded, lost: tuple[str, ...]) -> None:
        self.skips.append((node.key, ended.state, lost))

    def scheduler(
        self,
        slots: dict[str, int] | None = None,
        priority: dict[str, int] | None = None,
        ended: dict[str, NodeEnded] | None = None,
    ) -> Scheduler:
        return Scheduler(self.plan, slots or {}, priority or {}, self.run, self.skip, ended or {})


async def test_priority_then_begun_tasks_then_the_longest_path() -> None:
    """With one slot the order of starts is the order of urgency."""
    recorder = Recorder(
        planned("a#n1", rank=5, agent=True, model=1),
        planned("a#n2", "a#n1", rank=1, agent=True, model=1),
        planned("b#n1", rank=9, agent=True, model=1),
        planned("b#n2", "b#n1", rank=8, agent=True, model=1),
        planned("c#n1", rank=1, agent=True, model=1),
    )
    await recorder.scheduler({"model": 1}, {"c": 1}).run_all()
    assert recorder.started == ["c#n1", "b#n1", "b#n2", "a#n1", "a#n2"]


async def test_slots_come_back_after_a_failure() -> None:
    """A node that failed gives its slots back, and what does not follow from it runs."""
    lost = NodeEnded(NodeState.FAILED, "no")
    recorder = Recorder(
        planned("a#n1", rank=9, cpu=2), planned("a#n2", "a#n1", cpu=1), planned("b#n1", cpu=2), a_n1=lost
    )
    await recorder.scheduler({"cpu": 2}).run_all()
    assert recorder.started == ["a#n1", "b#n1"]
    assert recorder.skips == [("a#n1", NodeState.FAILED, ("a#n2",))]


@pytest.mark.parametrize("state", [NodeState.FAILED, NodeState.CANCELLED, NodeState.SKIPPED])
async def test_only_success_lets_the_next_node_run(state: NodeState) -> None:
    """Failed, cancelled and passed-over nodes all end what follows them, told once."""
    recorder = Recorder(
        planned("a#n1"), planned("a#n2", "a#n1"), planned("a#n3", "a#n2"), a_n1=NodeEnded(state, "why")
    )
    scheduler = recorder.scheduler()
    await scheduler.run_all()
    assert recorder.skips == [("a#n1", state, ("a#n2", "a#n3"))]
    assert scheduler.ended["a#n3"].state is NodeState.SKIPPED
    assert "a#n1" in scheduler.ended["a#n3"].cause


async def test_two_failures_skip_a_common_descendant_once() -> None:
    """A node below two failures is skipped for the first of them; the second is still told."""
    failed = NodeEnded(NodeState.FAILED, "no")
    recorder = Recorder(
        planned("a#n1"), planned("a#n2"), planned("a#n3", "a#n1", "a#n2"), a_n1=failed, a_n2=failed
    )
    await recorder.scheduler().run_all()
    assert sorted(len(lost) for _, _, lost in recorder.skips) == [0, 1]


async def test_stopping_in_the_middle_finishes_what_runs() -> None:
    """After the stop the running node ends as it ends and nothing new is begun."""
    recorder = Recorder(planned("a#n1"), planned("a#n2", "a#n1"), planned("b#n1", rank=0, agent=True))
    scheduler = recorder.scheduler()
    inner = recorder.run

    async def run(node: PlannedNode) -> NodeEnded:
        scheduler.stopping.set()
        return await inner(node)

    scheduler.run = run
    await scheduler.run_all()
    assert sorted(recorder.started) == ["a#n1", "b#n1"]
    assert set(scheduler.ended) == {"a#n1", "b#n1"}
    assert recorder.skips == []


async def test_a_resumed_failure_skips_what_was_still_open() -> None:
    """Descendants that had not been told before the process died are skipped when the night goes on."""
    recorder = Recorder(planned("a#n1"), planned("a#n2", "a#n1"), planned("a#n3", "a#n2"), planned("b#n1"))
    ended = {"a#n1": NodeEnded(NodeState.FAILED, "no"), "a#n2": NodeEnded(NodeState.SKIPPED, "a#n1 failed")}
    await recorder.scheduler(ended=ended).run_all()
    assert recorder.started == ["b#n1"]
    assert [lost for _, _, lost in recorder.skips] == [("a#n3",)]


async def test_a_resumed_end_is_not_told_again() -> None:
    """A failure all of whose descendants are settled costs the store nothing."""
    recorder = Recorder(planned("a#n1"), planned("a#n2", "a#n1"))
    ended = {"a#n1": NodeEnded(NodeState.FAILED, "no"), "a#n2": NodeEnded(NodeState.SKIPPED, "a#n1 failed")}
    await recorder.scheduler(ended=ended).run_all()
    assert recorder.started == []
    assert recorder.skips == []


async def test_a_bug_in_a_node_ends_the_pass_and_cancels_the_rest() -> None:
    """An error that is nobody's expected end does not leave nodes running behind."""
    cancelled: list[str] = []
    recorder = Recorder(planned("a#n1"), planned("b#n1"))

    async def run(node: PlannedNode) -> NodeEnded:
        if node.key == "a#n1":
            await asyncio.sleep(0)
            raise RuntimeError("a bug")
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(node.key)
            raise
        return DONE

    scheduler = recorder.scheduler()
    scheduler.run = run
    with pytest.raises(ExceptionGroup) as caught:
        await scheduler.run_all()
    assert [str(error) for error in caught.value.exceptions] == ["a bug"]
    assert cancelled == ["b#n1"]


async def test_an_empty_plan_ends_at_once() -> None:
    """No nodes, no waiting."""
    await Recorder().scheduler().run_all()
