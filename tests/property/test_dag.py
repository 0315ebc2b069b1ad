"""The plan's laws on any flows and needs: order, levels, ranks, the critical path, and circles that are named."""

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core import dag
from pantheon.core.dag import Expect, Plan, PlannedNode, PlannedTask, expected_seconds, node_key
from pantheon.core.errors import FlowError
from pantheon.core.flow import Flow, FlowNode

Night = tuple[dict[str, Flow], dict[str, tuple[str, ...]]]


def build_plan(
    flows: dict[str, Flow], needs: dict[str, tuple[str, ...]], expect: Expect = expected_seconds
) -> Plan:
    """The plan of tasks that only differ in flow and needs."""
    tasks = {name: PlannedTask(flow=flow, needs=needs.get(name, ())) for name, flow in flows.items()}
    return dag.build_plan(tasks, expect)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """A flow of up to six nodes, in any order of declaration."""
    count = draw(st.integers(1, 6))
    nodes = []
    for place in range(count):
        needs = draw(st.sets(st.integers(0, place - 1), max_size=3)) if place else set[int]()
        agent = draw(st.booleans())
        nodes.append(
            FlowNode(
                id=f"n{place}",
                agent="a" if agent else None,
                tool=None if agent else "t",
                needs=tuple(f"n{need}" for need in sorted(needs)),
            )
        )
    return Flow(name="f", accepts=("k",), node=tuple(draw(st.permutations(nodes))))


@st.composite
def nights(draw: st.DrawFn) -> Night:
    """Tasks with flows, and needs among them without a circle, in any queue order."""
    count = draw(st.integers(0, 5))
    names = [f"b/t{place}" for place in range(count)]
    needs = {
        name: tuple(sorted(draw(st.sets(st.sampled_from(names[:place]), max_size=3)))) if place else ()
        for place, name in enumerate(names)
    }
    order = draw(st.permutations(names))
    return {name: draw(flows()) for name in order}, needs


def by_key(plan: Plan) -> dict[str, PlannedNode]:
    """The plan's nodes by key."""
    return {node.key: node for node in plan.nodes}


@given(nights())
def test_every_node_once_after_all_its_needs(night: Night) -> None:
    """The plan holds each node of each task exactly once, in topological order."""
    tasks, needs = night
    plan = build_plan(tasks, needs)
    keys = [node.key for node in plan.nodes]
    assert sorted(keys) == sorted(
        node_key(name, node.id) for name, flow in tasks.items() for node in flow.node
    )
    seen: set[str] = set()
    for node in plan.nodes:
        assert seen.issuperset(node.needs)
        seen.add(node.key)


@given(nights())
def test_needs_are_those_of_the_flow_and_of_the_tasks(night: Night) -> None:
    """Inside a task the flow's needs; a source waits for every sink of every task that its task needs."""
    tasks, needs = night
    known = by_key(build_plan(tasks, needs))
    for name, flow in tasks.items():
        for node in flow.node:
            wanted = {node_key(name, need) for need in node.needs}
            if not node.needs:
                wanted |= {node_key(other, sink) for other in needs[name] for sink in tasks[other].sinks}
            assert set(known[node_key(name, node.id)].needs) == wanted


@given(nights())
def test_levels_are_longest_distances(night: Night) -> None:
    """A node stands one level above the highest of its needs, so no node needs another of its own level."""
    plan = build_plan(*night)
    known = by_key(plan)
    for node in plan.nodes:
        assert node.level == max((known[need].level + 1 for need in node.needs), default=0)
    assert plan.levels == len({node.level for node in plan.nodes})


@given(nights(), st.integers(1, 9), st.integers(1, 9))
def test_ranks_are_longest_remaining_paths(night: Night, agent_s: int, tool_s: int) -> None:
    """A node's rank is its own time and the highest rank behind it; it always exceeds that of what follows."""

    def expect(node: FlowNode) -> float:
        return float(agent_s if node.agent else tool_s)

    plan = build_plan(*night, expect)
    behind: dict[str, float] = {}
    for node in reversed(plan.nodes):
        assert node.rank == expect(node.node) + behind.get(node.key, 0.0)
        for need in node.needs:
            behind[need] = max(behind.get(need, 0.0), node.rank)
    assert plan.critical_s == max((node.rank for node in plan.nodes), default=0.0)


@given(nights())
def test_the_critical_path_is_a_path_of_that_length(night: Night) -> None:
    """From a source to a sink along needs, and as long as the night takes at least."""
    plan = build_plan(*night)
    known = by_key(plan)
    path = [known[key] for key in plan.critical_path]
    assert bool(path) == bool(plan.nodes)
    for before, after in itertools.pairwise(path):
        assert before.key in after.needs
    if path:
        assert path[0].needs == ()
        assert not any(path[-1].key in node.needs for node in plan.nodes)
    assert sum(expected_seconds(node.node) for node in path) == pytest.approx(plan.critical_s)


@given(nights())
def test_the_same_night_gives_the_same_plan(night: Night) -> None:
    """Planning is a function of the queue; keys of needs in another order change nothing."""
    tasks, needs = night
    turned = {name: tuple(reversed(wanted)) for name, wanted in reversed(needs.items())}
    assert build_plan(tasks, needs) == build_plan(tasks, turned)


FLOW = Flow(
    name="f", accepts=("k",), node=(FlowNode(id="a", tool="t"), FlowNode(id="b", agent="x", needs=("a",)))
)


@given(st.integers(1, 6), st.integers(0, 4))
def test_a_circle_of_tasks_is_named(length: int, others: int) -> None:
    """Tasks that need each other in a circle are refused, with exactly the circle in the message."""
    circle = [f"b/c{place}" for place in range(length)]
    free = [f"b/z{place}" for place in range(others)]
    tasks = dict.fromkeys([*free, *circle], FLOW)
    needs = {name: (circle[(place + 1) % length],) for place, name in enumerate(circle)}
    needs |= dict.fromkeys(free, (circle[0],))
    with pytest.raises(FlowError, match="circle") as caught:
        build_plan(tasks, needs)
    named = caught.value.message.partition(": ")[2].split(" -> ")
    assert set(named) == set(circle)
    assert named[0] == named[-1]
    assert len(named) == length + 1


def test_the_circle_is_named_in_the_direction_of_needing() -> None:
    """What the message reads as 'a -> b' is that a needs b."""
    tasks = dict.fromkeys(("t1", "t2", "t3"), FLOW)
    with pytest.raises(FlowError) as caught:
        build_plan(tasks, {"t1": ("t2",), "t2": ("t3",), "t3": ("t1",)})
    circle = caught.value.message.partition(": ")[2].split(" -> ")
    assert "".join(circle).replace("t", "")[:3] in ("123", "231", "312")


def test_a_need_outside_the_night_is_named() -> None:
    """Nothing waits for ever for a task that is not there."""
    with pytest.raises(FlowError, match="task t1 needs gone"):
        build_plan({"t1": FLOW}, {"t1": ("gone",)})


def test_an_empty_night_has_an_empty_plan() -> None:
    """No tasks, no levels, no path."""
    plan = build_plan({}, {})
    assert (plan.nodes, plan.levels, plan.critical_path, plan.critical_s) == ((), 0, (), 0.0)


@pytest.mark.parametrize(("links", "levels"), [(2, 4), (20_000, 40_000)])
def test_a_long_queue_is_planned_in_seconds(links: int, levels: int) -> None:
    """Twenty thousand tasks are planned while one waits, in pairs and in one chain as deep as the queue is long."""
    names = [f"b/t{place}" for place in range(20_000)]
    tasks = dict.fromkeys(names, FLOW)
    needs = {name: (names[place - 1],) if place % links else () for place, name in enumerate(names)}
    started = time.process_time()
    plan = build_plan(tasks, needs)
    assert time.process_time() - started < 30
    assert len(plan.nodes) == 40_000
    assert plan.levels == levels
