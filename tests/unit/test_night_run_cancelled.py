"""A node's last word and its task's outcome, recorded whole whatever order comes meanwhile."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pantheon.core.budget import Usage
from pantheon.core.dag import Plan, PlannedNode, PlannedTask
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.records import AttemptOutcome, NodeState, TaskOutcome
from pantheon.engine.attempt import Try
from pantheon.engine.night_run import NightRun
from pantheon.engine.night_state import NightState
from pantheon.engine.node_end import NodeEnded
from pantheon.engine.results import NodeResult
from pantheon.testing.steps import Steps

FLOW = Flow(name="f", accepts=("k",), node=(FlowNode(id="n1", tool="t"), FlowNode(id="n2", tool="t")))
LOST = NodeResult(AttemptOutcome.FAILED, NodeState.FAILED, "no", used=Usage())


class Recorded:
    """The only thing of a store and of an attempt that ends a task with two last nodes."""

    def __init__(self) -> None:
        self.outcomes: list[TaskOutcome] = []

    async def finish_task(self, _night: str, _task: str, outcome: TaskOutcome, _cause: str) -> None:
        await asyncio.sleep(0)
        self.outcomes.append(outcome)

    async def run(self, attempt: Try) -> NodeResult:
        assert attempt.done(LOST) is None, "another last node may not be recorded yet"
        return LOST


def run_of(recorded: Recorded, steps: Steps, nodes: tuple[PlannedNode, ...]) -> NightRun:
    def why_told(_key: str) -> str:
        return "not wanted" if steps.victim is not None and steps.victim.cancelling() else ""

    tasks = {"a": PlannedTask(flow=FLOW)}
    parts: Any = recorded
    context: Any = SimpleNamespace(id="night")
    run = NightRun(
        store=parts, context=context, plan=Plan(nodes=nodes), tasks=tasks, starts=parts,
        state=NightState(tasks), runner=parts, watch=lambda _: None,
    )  # fmt: skip
    scheduler: Any = SimpleNamespace(why_told=why_told, ended={})
    run.join(scheduler, lambda *_: None)
    return run


@pytest.mark.parametrize("late", [False, True])
async def test_an_order_while_the_outcome_is_recorded_changes_nothing(late: bool) -> None:
    """Cancelled at any step after its attempt was settled, the node stays what it was, and its task has its outcome."""
    nodes = tuple(
        PlannedNode(key=f"a#{one.id}", task="a", node=one, needs=(), level=0, rank=1.0) for one in FLOW.node
    )
    for at in range(1, 20):
        recorded, steps = Recorded(), Steps(at, late=late)
        run = run_of(recorded, steps, nodes)
        run.state.end(nodes[0], NodeState.FAILED, "no")
        task = steps.start(run.run_node(nodes[1], lambda: None), name="node")
        await asyncio.wait([task])
        assert recorded.outcomes == [TaskOutcome.FAILED]
        if steps.count <= at:
            # In its last step nobody but the coroutine itself could have cancelled it.
            assert at > 1, "the outcome is waited for"
            return
        assert task.result() == NodeEnded(NodeState.FAILED, "no")
        assert not task.cancelling()
    pytest.fail("the node never came to its end")
