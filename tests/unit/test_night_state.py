"""What a night knows of its tasks: outcomes once, landed commits for who builds on them, budgets over processes."""

from datetime import UTC, datetime, time, timedelta

import pytest

from pantheon.core.budget import Usage
from pantheon.core.dag import PlannedNode, PlannedTask
from pantheon.core.errors import FlowError
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.night_plan import plan_tasks
from pantheon.core.records import (
    AttemptOutcome,
    AttemptRecord,
    AttemptResult,
    Conclusion,
    NodeState,
    TaskOutcome,
)
from pantheon.core.spending import Spent, spent_by
from pantheon.core.task import Task
from pantheon.engine.night_state import NightState
from pantheon.shell.cli.night_work import next_time

FLOW = Flow(
    name="f",
    accepts=("k",),
    node=(FlowNode(id="a", tool="t", writes=True), FlowNode(id="b", gate="merge", needs=("a",))),
)
START = datetime(2026, 1, 1, 22, 0, tzinfo=UTC)


def node(task: str, number: int) -> PlannedNode:
    one = FLOW.node[number]
    return PlannedNode(key=f"{task}#{one.id}", task=task, node=one)


def test_a_task_is_concluded_once_and_lets_its_progress_go() -> None:
    """The outcome comes with the last node, once; what it landed stays only where somebody builds on it."""
    state = NightState({"x/1": PlannedTask(FLOW), "x/2": PlannedTask(FLOW, needs=("x/1",))})
    state.end(node("x/1", 0), NodeState.SUCCEEDED, "", commit="c1", output={"title": "T"})
    assert state.conclude("x/1") is None
    assert state.of("x/1").outputs == {"a": {"title": "T"}}
    state.end(node("x/1", 1), NodeState.SUCCEEDED, "", commit="c2")
    assert state.conclude("x/1") == Conclusion(task="x/1", outcome=TaskOutcome.ACCEPTED)
    assert state.conclude("x/1") is None
    assert state.landed(["x/1", "x/2"]) == ("c2",)
    for number in (0, 1):
        state.end(node("x/2", number), NodeState.SUCCEEDED, "", commit="c3")
    assert state.conclude("x/2") == Conclusion(task="x/2", outcome=TaskOutcome.ACCEPTED)
    assert state.landed(["x/2"]) == ()


@pytest.mark.parametrize(("crashed", "outcome"), [(False, TaskOutcome.DENIED), (True, TaskOutcome.FAILED)])
def test_a_gate_that_crashed_has_denied_nothing(crashed: bool, outcome: TaskOutcome) -> None:
    """Denied is the gate's word; a gate that the machine failed gave none."""
    state = NightState({"x/1": PlannedTask(FLOW)})
    state.end(node("x/1", 0), NodeState.SUCCEEDED, "", commit="c1")
    state.end(node("x/1", 1), NodeState.FAILED, "no", crashed=crashed)
    assert state.conclude("x/1") == Conclusion(task="x/1", outcome=outcome, cause="b: no")


def attempt(start_s: float, wall_s: float, tokens: int, *, ended: bool = True) -> AttemptRecord:
    result = AttemptResult(
        outcome=AttemptOutcome.SUCCEEDED,
        node_state=NodeState.SUCCEEDED,
        metrics={"completion_tokens": tokens, "wall_s": wall_s},
    )
    started = START + timedelta(seconds=start_s)
    return AttemptRecord(
        night="n",
        node="x/1#a",
        attempt=1,
        token=1,
        owner="o",
        started_at=started,
        ended_at=started + timedelta(seconds=wall_s) if ended else None,
        result=result if ended else None,
    )


def test_what_was_spent_is_the_same_for_the_process_that_resumes() -> None:
    """Tokens add up; time that two attempts shared counts once, and the hours between two processes not at all."""
    attempts = [
        attempt(0, 10, 5),
        attempt(5, 10, 7),
        attempt(36_000, 3, 1),
        attempt(40_000, 9, 9, ended=False),
    ]
    assert spent_by(attempts) == Spent(used=Usage(output_tokens=13, wall_s=23.0), worked_s=18.0)
    assert spent_by([]) == Spent()


def test_tasks_of_one_shape_share_their_flow_and_writers_take_turns() -> None:
    """The plan measures a flow once; two tasks that write one file come one after the other."""
    tasks = {
        f"x/{number}": Task(id=str(number), kind="k", goal="g", targets=("docs/a.md",)) for number in (1, 2)
    }
    lines = {key: task.canonical_line().decode() for key, task in tasks.items()}
    planned = plan_tasks(lines, [FLOW])
    assert planned["x/1"].flow is planned["x/2"].flow
    assert (planned["x/1"].after, planned["x/2"].after) == ((), ("x/1",))


def test_a_task_that_no_node_applies_to_is_named() -> None:
    """A flow of which nothing is left for a target is an error before the night, not a crash in it."""
    flow = Flow(name="f", accepts=("k",), node=(FlowNode(id="a", tool="t", when="*.rst"),))
    line = Task(id="1", kind="k", goal="g", targets=("docs/a.md",)).canonical_line().decode()
    with pytest.raises(FlowError, match=r"task x/1: no node of the flow 'f' applies to 'docs/a.md'"):
        plan_tasks({"x/1": line}, [flow])


@pytest.mark.parametrize(("hour", "days"), [(23, 0), (6, 1)])
def test_the_window_ends_at_the_next_such_time(hour: int, days: int) -> None:
    """Before midnight it is today, after it is tomorrow."""
    now = datetime(2026, 3, 3, 22, 15).astimezone()
    end = next_time(now.astimezone(UTC), time(hour, 30)).astimezone()
    assert (end.hour, end.minute) == (hour, 30)
    assert (end.date() - now.date()).days == days
