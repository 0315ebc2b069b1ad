"""Trying orders before the night: never worse than the longest path, never below the bound, and what then happens."""

from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pantheon.core.dag import Plan, PlannedNode, PlannedTask, expected_seconds
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.trial_schedule import MAX_ORDERS, lower_bound_s, try_orders
from pantheon.testing.night_cases import nights
from pantheon.testing.simulated_night import Case, Work, simulate

FLOW = Flow(name="f", accepts=("k",), node=(FlowNode(id="n", tool="t"),))


def ranked(case: Case) -> Plan:
    """The case's plan, ranked by longest path under the expected durations."""
    rank: dict[str, float] = {}
    for node in reversed(case.nodes):
        behind = [rank[one.key] for one in case.nodes if node.key in (*one.needs, *one.after)]
        rank[node.key] = expected_seconds(node.node) + max(behind, default=0.0)
    return Plan(nodes=tuple(replace(node, rank=rank[node.key]) for node in case.nodes))


@settings(max_examples=100, deadline=None)
@given(nights(), st.integers(1, 400))
def test_the_kept_order_is_never_expected_to_end_later(case: Case, starts: int) -> None:
    """Whatever the budget: not later than by longest path, not before the bound, and only ranks have changed."""
    plan = ranked(case)
    tried = try_orders(plan, case.tasks, case.slots, starts=starts, shortest_s=0.0)
    assert tried.expected_s <= tried.planned_s
    assert tried.orders <= MAX_ORDERS
    assert tried.orders * len(plan.nodes) <= starts
    assert [replace(node, rank=0) for node in tried.plan.nodes] == [replace(n, rank=0) for n in plan.nodes]
    assert tried == try_orders(plan, case.tasks, case.slots, starts=starts, shortest_s=0.0)
    if tried.orders:
        seconds = [expected_seconds(node.node) for node in plan.nodes]
        assert tried.expected_s >= lower_bound_s(plan, case.slots, seconds) - 1e-6


@settings(max_examples=100, deadline=None)
@given(nights())
def test_the_night_ends_when_it_was_expected_to(case: Case) -> None:
    """When every node takes as long as expected, the scheduler does what was rehearsed, start by start."""
    tried = try_orders(ranked(case), case.tasks, case.slots, starts=300, shortest_s=0.0)
    assume(tried.orders)
    work = {node.key: Work(seconds=expected_seconds(node.node)) for node in case.nodes}
    whole = Case(nodes=tried.plan.nodes, tasks=case.tasks, slots=case.slots, work=work)
    assert abs(simulate(whole).over_at - tried.expected_s) < 1e-6


def graph(*nodes: tuple[str, float, str]) -> tuple[Plan, dict[str, PlannedTask], dict[str, float]]:
    """A plan of nodes given as name, seconds and needs, each taking one of the resource ``cpu``."""
    seconds = {f"{name}#n": length for name, length, _ in nodes}
    rank: dict[str, float] = {}
    for name, length, _ in reversed(nodes):
        rank[name] = length + max((rank[n] for n, _, needs in nodes if name in needs.split()), default=0.0)
    planned = tuple(
        PlannedNode(
            key=f"{name}#n",
            task=name,
            node=FlowNode(id="n", tool="t", resources={"cpu": 1}, args={"seconds": length}),
            needs=tuple(f"{need}#n" for need in needs.split()),
            rank=rank[name],
        )
        for name, length, needs in nodes
    )
    return Plan(nodes=planned), {name: PlannedTask(flow=FLOW) for name, _, _ in nodes}, seconds


def length(node: FlowNode) -> float:
    """The seconds a node says it takes."""
    return float(node.args["seconds"])


def test_a_better_order_than_the_longest_path_is_found() -> None:
    """Three slots' worth of work that the longest path packs badly ends at the bound."""
    plan, tasks, _ = graph(
        ("a", 50, ""), ("b", 50, ""), ("c", 40, ""), ("d", 40, ""), ("e", 30, ""), ("f", 30, "")
    )  # fmt: skip
    tried = try_orders(plan, tasks, {"cpu": 2}, length)
    assert (tried.planned_s, tried.expected_s) == (120, 120)
    plan, tasks, _ = graph(("a", 30, ""), ("b", 30, ""), ("c", 20, ""), ("d", 20, ""), ("e", 20, ""))
    tried = try_orders(plan, tasks, {"cpu": 2}, length)
    assert (tried.planned_s, tried.expected_s) == (70, 60)
    ranks = {node.task: node.rank for node in tried.plan.nodes}
    assert max(ranks["c"], ranks["d"], ranks["e"]) > min(ranks["a"], ranks["b"])


def test_what_is_not_worth_it_is_left_alone() -> None:
    """No nodes, too many of them, a night too short, and one that any order is good for: nothing is tried."""
    plan, tasks, _ = graph(("a", 30, ""), ("b", 30, ""), ("c", 20, ""), ("d", 20, ""), ("e", 20, ""))
    assert try_orders(Plan(nodes=()), {}, {}).orders == 0
    assert try_orders(plan, tasks, {"cpu": 2}, length, starts=9).orders == 0
    assert try_orders(plan, tasks, {"cpu": 2}, length, shortest_s=61).orders == 0
    many, tasks, _ = graph(*((f"t{place}", 1.0, "") for place in range(1000)))
    assert try_orders(many, tasks, {"cpu": 2}, length).orders == 0
