"""The benchmark's lower bound is one: no schedule of a small graph, however clever, is shorter."""

import sys
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "engine"


@pytest.fixture(scope="module", autouse=True)
def scripts() -> None:
    """Let the scripts' modules be found as the scripts find them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import bounds
        import workload

        yield
        for module in (bounds, workload):
            sys.modules.pop(module.__name__, None)


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[tuple[int, ...], int]]:
    """Up to six nodes of one to four seconds."""
    return [
        (tuple(sorted(draw(st.sets(st.integers(0, place - 1), max_size=2)))) if place else (), draw(st.integers(1, 4)))
        for place in range(draw(st.integers(1, 6)))
    ]  # fmt: skip


def shortest(graph: list[tuple[tuple[int, ...], int]], workers: int) -> int:
    """The best makespan of all: each order's nodes one by one at the earliest time there is room.

    Such schedules include one of the shortest, also where it pays to leave a worker idle.
    """
    best = sum(length for _, length in graph)
    for order in permutations(range(len(graph))):
        place = {node: number for number, node in enumerate(order)}
        if any(place[need] > place[node] for node in order for need in graph[node][0]):
            continue
        used = [0] * (best + 10)
        ends: dict[int, int] = {}
        for node in order:
            needs, length = graph[node]
            start = max((ends[need] for need in needs), default=0)
            while any(used[at] >= workers for at in range(start, start + length)):
                start += 1
            for at in range(start, start + length):
                used[at] += 1
            ends[node] = start + length
            if ends[node] > best:
                break
        else:
            best = min(best, max(ends.values()))
    return best


@settings(max_examples=80, deadline=None)
@given(graphs(), st.integers(1, 3))
def test_no_schedule_is_shorter_than_the_bound(
    graph: list[tuple[tuple[int, ...], int]], workers: int
) -> None:
    """The close bound lies between the simple one and the shortest schedule."""
    from bounds import close_bound_s
    from workload import Node, lower_bound_s

    nodes = [Node(needs, float(length)) for needs, length in graph]
    close = close_bound_s(nodes, workers)
    assert lower_bound_s(nodes, workers) <= close <= shortest(graph, workers) + 1e-9


def test_ten_equal_nodes_on_four_workers_take_three_rounds() -> None:
    """Where work over workers says two and a half rounds, the close bound says three."""
    from bounds import close_bound_s
    from workload import Node, lower_bound_s

    nodes = [Node((), 1.0)] * 10
    assert (lower_bound_s(nodes, 4), close_bound_s(nodes, 4)) == (2.5, 3.0)
