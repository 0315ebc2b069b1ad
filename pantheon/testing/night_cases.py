"""Random nights for property tests, as hypothesis strategies."""

from collections.abc import Sequence

from hypothesis import strategies as st

from pantheon.core.dag import PlannedNode, PlannedTask
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.orders import Standing
from pantheon.engine.scheduler import AT_ONCE
from pantheon.testing.simulated_night import Case, Work

FLOW = Flow(name="f", accepts=("k",), node=(FlowNode(id="n", tool="t"),))
QUARTERS = st.integers(0, 12).map(lambda quarters: quarters / 4)
LAST_ORDER_S = 40.125
"""When everything that was paused and held is let go; an eighth, so that no work ends then."""


@st.composite
def nights(draw: st.DrawFn) -> Case:
    """A DAG of up to 14 nodes of up to 4 tasks, with work that fails and comes again, and an operator."""
    slots = {"cpu": draw(st.integers(1, 3)), "model": draw(st.integers(1, 3))}
    count = draw(st.integers(1, 14))
    nodes: list[PlannedNode] = []
    for place in range(count):
        earlier = st.sets(st.integers(0, place - 1), max_size=3) if nodes else st.just(set[int]())
        needs = draw(earlier)
        after = draw(earlier) - needs if draw(st.booleans()) else set[int]()
        wanted = {name: draw(st.integers(0, most)) for name, most in {**slots, "git": 1}.items()}
        nodes.append(
            _node(
                f"b/t{place % 4}",
                place,
                needs=[nodes[one] for one in sorted(needs)],
                after=[nodes[one] for one in sorted(after)],
                agent=draw(st.booleans()),
                rank=float(draw(st.integers(0, 4))),
                resources={name: cost for name, cost in wanted.items() if cost},
            )
        )
    tasks = {
        f"b/t{number}": PlannedTask(
            flow=FLOW, priority=draw(st.integers(-1, 1)), package=draw(st.sampled_from(["", "p", "q"]))
        )
        for number in range(4)
    }
    work = {
        node.key: Work(
            seconds=draw(QUARTERS),
            record_s=draw(st.sampled_from([0.0, 0.25])),
            fails=draw(st.integers(0, 4)) == 0,
            again_s=tuple(draw(st.lists(QUARTERS, max_size=2))) if draw(st.booleans()) else (),
        )
        for node in nodes
    }
    return Case(
        nodes=tuple(nodes),
        tasks=tasks,
        slots=slots,
        work=work,
        orders=draw(orders(sorted(tasks))),
        by_level=draw(st.booleans()),
        at_once=draw(st.sampled_from([1, 2, AT_ONCE])),
        end_s=draw(st.sampled_from([0.0, 0.25])),
    )


@st.composite
def orders(draw: st.DrawFn, tasks: list[str]) -> tuple[tuple[float, Standing], ...]:
    """What an operator orders in the course of a night; in the end all that was halted may go on."""
    standing = Standing()
    given_: list[tuple[float, Standing]] = []
    for at in sorted(draw(st.sets(st.integers(0, 40), max_size=4))):
        verb, task = draw(st.sampled_from(["pause", "resume", "hold", "release", "cancel", "all"])), draw(
            st.sampled_from(tasks)
        )  # fmt: skip
        if verb in ("pause", "resume"):
            standing = standing.model_copy(update={"paused": verb == "pause"})
        elif verb == "hold":
            standing = standing.model_copy(update={"held_tasks": {**standing.held_tasks, task: "look"}})
        elif verb == "release":
            standing = standing.model_copy(update={"held_tasks": {}})
        elif verb == "cancel":
            cancelled = {**standing.cancelled_tasks, task: "wrong"}
            standing = standing.model_copy(update={"cancelled_tasks": cancelled})
        elif draw(st.integers(0, 3)) == 0:
            standing = standing.model_copy(update={"cancelled": "enough"})
        given_.append((at / 4 + 0.125, standing))
    if given_:
        given_.append((LAST_ORDER_S, standing.model_copy(update={"paused": False, "held_tasks": {}})))
    return tuple(given_)


@st.composite
def crowds(draw: st.DrawFn) -> Case:
    """A large urgent node that becomes ready among many small ones whose ends never coincide."""
    slots = {"cpu": draw(st.integers(1, 3)), "model": draw(st.integers(1, 3))}
    nodes = [
        _node(f"b/s{place}", place, resources={draw(st.sampled_from(["cpu", "model"])): 1})
        for place in range(draw(st.integers(50, 80)))
    ]
    gate = _node("b/gate", len(nodes), resources={})
    large = _node("b/large", len(nodes) + 1, needs=[gate], resources=slots)
    work = {node.key: Work(seconds=1.0 + place / 128) for place, node in enumerate(nodes)}
    return Case(
        nodes=(*nodes, gate, large),
        tasks={
            node.task: PlannedTask(flow=FLOW, priority=int(node is large)) for node in (*nodes, gate, large)
        },
        slots=slots,
        work={**work, gate.key: Work(seconds=0.5), large.key: Work()},
    )


@st.composite
def rivals(draw: st.DrawFn) -> Case:
    """Tasks of one node of several packages that compete for the same slots; some come late."""
    slots = {"cpu": draw(st.integers(1, 3))}
    nodes: list[PlannedNode] = []
    packages: dict[str, str] = {}
    for place in range(draw(st.integers(2, 24))):
        earlier: list[PlannedNode] = []
        if place and draw(st.booleans()):
            earlier.append(nodes[draw(st.integers(0, place - 1))])
        task = f"b/t{place}"
        packages[task] = draw(st.sampled_from(["p", "q", "r"]))
        nodes.append(_node(task, place, needs=earlier, agent=draw(st.booleans()), resources={"cpu": 1}))
    return Case(
        nodes=tuple(nodes),
        tasks={task: PlannedTask(flow=FLOW, package=package) for task, package in packages.items()},
        slots=slots,
        work={node.key: Work(0.25 + draw(QUARTERS), fails=draw(st.integers(0, 5)) == 0) for node in nodes},
    )


def _node(
    task: str,
    place: int,
    *,
    resources: dict[str, int],
    needs: Sequence[PlannedNode] = (),
    after: Sequence[PlannedNode] = (),
    agent: bool = False,
    rank: float = 0.0,
) -> PlannedNode:
    flow_node = FlowNode(
        id=f"n{place}", agent="a" if agent else None, tool=None if agent else "t", resources=resources
    )
    return PlannedNode(
        key=f"{task}#n{place}",
        task=task,
        node=flow_node,
        needs=tuple(one.key for one in needs),
        after=tuple(one.key for one in after),
        level=max((one.level + 1 for one in (*needs, *after)), default=0),
        rank=rank,
    )
