"""Plans a night before it is opened: its tasks, one DAG over all of them, and the order of its nodes."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pantheon.core.carry_over import accepted_of, choose_takeable
from pantheon.core.dag import Expect, PlannedTask, build_plan
from pantheon.core.night_plan import plan_tasks
from pantheon.core.records import TaskOutcome
from pantheon.core.trial_schedule import Tried, try_orders
from pantheon.engine.services import Services
from pantheon.ports.store import Store

SHOWN_PATH = 50
"""Nodes of the critical path that are recorded."""


NEED_WAITS = "a task that it needs waits, and is not one of this night"


@dataclass(frozen=True)
class NightLines:
    """The tasks of a night that can be planned, and those that cannot."""

    lines: Mapping[str, str]
    """Task key -> its line, in queue order."""
    done: frozenset[str] = frozenset()
    """Tasks that nights have accepted; empty when none is needed but those of this one."""
    waiting: tuple[str, ...] = ()
    """Tasks of the night that need one which is neither accepted nor of the night."""


async def read_lines(store: Store, night: str, keys: Sequence[str]) -> NightLines:
    """Return the night's tasks, those it has and those it is about to take.

    Args:
        store: its state.
        night: the night's id.
        keys: what it is about to take.

    Raises:
        StoreError: it cannot be read.
    """
    wanted = set(keys)
    pending = await store.tasks(pending=True) if keys else ()
    known = await store.tasks(night=night)
    records = (*known, *(one for one in pending if one.key in wanted))
    done = frozenset[str]()
    chosen = await asyncio.to_thread(choose_takeable, records, done)
    if len(chosen) < len(records):
        done = accepted_of(await store.tasks())
        chosen = await asyncio.to_thread(choose_takeable, records, done)
    lines = {one.key: one.line for one in chosen}
    return NightLines(lines, done, tuple(one.key for one in known if one.key not in lines))


async def leave_waiting(store: Store, night: str, found: NightLines) -> None:
    """Record that tasks of a night were not reached, because what they need was held when it began.

    Raises:
        StoreError: it cannot be recorded.
    """
    for key in found.waiting:
        await store.finish_task(night, key, TaskOutcome.NOT_REACHED, NEED_WAITS)


def plan_night(
    found: NightLines, services: Services, slots: Mapping[str, int], expect: Expect
) -> tuple[dict[str, PlannedTask], Tried]:
    """Plan every task of a night and rehearse orders of its nodes.

    Args:
        found: its tasks.
        services: whose flows are planned by.
        slots: resource -> slots.
        expect: how long nodes are expected to take.

    Raises:
        FlowError: the tasks cannot be planned.
    """
    tasks = plan_tasks(found.lines, services.content.flows.values(), found.done)
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
