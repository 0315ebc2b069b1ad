"""Tasks that write the same file take turns: in one order, without a circle, and nobody else waits."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.dag import PlannedTask, build_plan
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.footprint import Footprint, order_writers

FLOW = Flow(
    name="f", accepts=("k",), node=(FlowNode(id="a", tool="t"), FlowNode(id="b", tool="t", needs=("a",)))
)
PATHS = st.sampled_from(["x", "y", "z"])


@st.composite
def footprints(draw: st.DrawFn) -> dict[str, Footprint]:
    """Up to eight tasks with needs that make no circle, in any queue order."""
    names = [f"b/t{place}" for place in range(draw(st.integers(0, 8)))]
    made = {}
    for place, name in enumerate(names):
        needs = draw(st.sets(st.sampled_from(names[:place]), max_size=2)) if place else set[str]()
        made[name] = Footprint(tuple(sorted(needs)), tuple(draw(st.lists(PATHS, max_size=3))))
    return {name: made[name] for name in draw(st.permutations(names))}


def reach(tasks: dict[str, Footprint], after: dict[str, tuple[str, ...]], key: str) -> set[str]:
    """Everything that ``key`` waits for."""
    found: set[str] = set()
    waiting = [key]
    while waiting:
        one = waiting.pop()
        for before in (*tasks[one].needs, *after.get(one, ())):
            if before not in found:
                found.add(before)
                waiting.append(before)
    return found


@given(footprints())
def test_writers_of_one_path_are_ordered_and_the_plan_has_no_circle(tasks: dict[str, Footprint]) -> None:
    """Of two tasks that write one path one waits for the other, and the whole can be planned."""
    after = order_writers(tasks)
    waits = {key: reach(tasks, after, key) for key in tasks}
    for one, other in itertools.combinations(tasks, 2):
        if set(tasks[one].writes) & set(tasks[other].writes):
            assert (one in waits[other]) != (other in waits[one])
    build_plan({key: PlannedTask(FLOW, task.needs, after.get(key, ())) for key, task in tasks.items()})


@given(footprints())
def test_nobody_waits_without_a_common_path(tasks: dict[str, Footprint]) -> None:
    """An order is added only between tasks that share a path."""
    for key, before in order_writers(tasks).items():
        for one in before:
            assert set(tasks[one].writes) & set(tasks[key].writes)
            assert one not in tasks[key].needs


def test_a_circle_of_needs_is_left_to_the_plan() -> None:
    """The footprint says nothing where the plan will refuse."""
    tasks = {"a": Footprint(("b",), ("x",)), "b": Footprint(("a",), ("x",))}
    assert order_writers(tasks) == {}
