"""Plans a night before it is opened: its tasks, one DAG over all of them, and the order of its nodes."""

from collections.abc import Mapping, Sequence

from pantheon.core.dag import Expect, PlannedTask, build_plan
from pantheon.core.night_plan import plan_tasks
from pantheon.core.trial_schedule import Tried, try_orders
from pantheon.engine.services import Services

SHOWN_PATH = 50
"""Nodes of the critical path that are recorded."""


def plan_night(
    lines: Mapping[str, str], services: Services, slots: Mapping[str, int], expect: Expect
) -> tuple[dict[str, PlannedTask], Tried]:
    """Plan every task of a night and rehearse orders of its nodes.

    Args:
        lines: task key -> its line.
        services: whose flows are planned by.
        slots: resource -> slots.
        expect: how long nodes are expected to take.

    Raises:
        FlowError: the tasks cannot be planned.
    """
    tasks = plan_tasks(lines, services.content.flows.values())
    agents = services.content.agents.items()
    openings = {name: agent.spec.shares_prefix_of or name for name, agent in agents}
    return tasks, try_orders(build_plan(tasks, expect, openings), tasks, slots, expect)


def tell_plan(
    tried: Tried, tasks: Mapping[str, PlannedTask], interrupted: Sequence[str]
) -> dict[str, object]:
    """Return what the night's record tells of its plan."""
    plan = tried.plan
    return {
        "tasks": len(tasks),
        "nodes": len(plan.nodes),
        "levels": plan.levels,
        "critical_s": round(plan.critical_s, 1),
        "critical_path": list(plan.critical_path[:SHOWN_PATH]),
        "orders_tried": tried.orders,
        "expected_s": round(tried.expected_s, 1) if tried.orders else None,
        "interrupted": len(interrupted),
    }
