"""When merges may start: the policy's merge window in a night, and what is left at its end for a later one.

Invariants:
- no merge starts outside the merge window, and where only landing is wanted nothing else starts;
- what was allowed and has not landed keeps its night open, with its verdicts; it is reviewed no second time;
- of a night that stays open for that alone, everything else has its outcome, or follows what waits to land.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from pantheon.core.dag import Plan
from pantheon.core.dispatch import Candidate
from pantheon.core.records import NodeState
from pantheon.core.spending import NOT_STARTED
from pantheon.core.window import LandingHours
from pantheon.engine.night_run import NightRun
from pantheon.engine.open_nights import WAITS
from pantheon.ports.clock import Clock
from pantheon.ports.store import Store

POLL_S = 0.5
"""Seconds between two looks at the clock."""


@dataclass(frozen=True)
class StartHours:
    """Which nodes may start by the clock.

    Args:
        clock: for the time.
        hours: the merge window; None when merges may start at any time.
        land_only: whether nothing but merges may start.
    """

    clock: Clock
    hours: LandingHours | None = None
    land_only: bool = False

    def may_start(self, candidate: Candidate) -> bool:
        """Tell whether a ready node may start now."""
        if candidate.lands:
            return self.merges_open
        return not self.land_only

    @property
    def merges_open(self) -> bool:
        """Whether a merge may start now."""
        return self.hours is None or self.hours.are_open(self.clock.now())

    @property
    def opens_at(self) -> str:
        """When the merge window is open next, in UTC; empty when there is none."""
        return (
            "" if self.hours is None else f"{self.hours.span(self.clock.now()).opens_at:%Y-%m-%d %H:%M} UTC"
        )

    async def watch(self, run: NightRun) -> None:
        """Let merges start when the window opens; until cancelled."""
        were_open = self.merges_open
        while True:
            await self.clock.sleep(POLL_S)
            if self.merges_open != were_open:
                were_open = not were_open
                run.scheduler.look_again()


async def leave_for_landing(
    run: NightRun, store: Store, hours: StartHours, *, ended_by: str, everything_ended: bool
) -> int:
    """Keep what waits to land, and give the rest of the night its outcome; returns how many changes wait.

    Args:
        run: the night, whose nodes have ended as far as they could.
        store: its state.
        hours: what kept nodes from starting.
        ended_by: cause for tasks that were not reached.
        everything_ended: whether the night came to an end by itself, so that tasks behind a waiting merge wait with it.

    Raises:
        StoreError: the outcomes cannot be recorded.
    """
    night, scheduler = run.context.id, run.scheduler
    tasks = await store.tasks(night=night)
    still = {task.key for task in tasks if task.outcome is None}
    landing = _ready_to_land(run) & still if hours.hours is not None or hours.land_only else set()
    behind = tasks_behind(run.plan, landing) & still
    if hours.land_only:
        if still - landing - behind:
            # Another process goes on with the night as it is.
            return len(landing)
    elif not landing:
        await run.leave_unreached(tasks, ended_by)
        return 0
    stays = landing | behind if everything_ended or hours.land_only else landing
    causes: dict[str, list[str]] = {}
    for node in run.plan.nodes:
        if node.key not in scheduler.ended and node.task not in stays:
            why = scheduler.standing.hold_cause(node.task) or ended_by
            causes.setdefault(f"{NOT_STARTED}{why}", []).append(node.key)
    for cause, keys in causes.items():
        await run.end_nodes(NodeState.CANCELLED, cause, tuple(keys))
    orders = await store.orders(night)
    await store.add_event(
        night,
        night,
        WAITS,
        {
            "tasks": len(landing),
            "opens_at": hours.opens_at,
            "orders": orders[-1].seq if orders else 0,
        },
    )
    return len(landing)


def _ready_to_land(run: NightRun) -> set[str]:
    """Return the tasks of which only the landing is left: what the gate allowed, and no operator holds."""
    scheduler = run.scheduler
    ended = scheduler.ended

    def succeeded(key: str) -> bool:
        return key in ended and ended[key].state is NodeState.SUCCEEDED

    return {
        node.task
        for node in run.plan.nodes
        if node.node.gate == "merge"
        and node.key not in ended
        and all(map(succeeded, node.needs))
        and all(key in ended for key in node.after)
        and not scheduler.standing.hold_cause(node.task)
    }


def tasks_behind(plan: Plan, tasks: Iterable[str]) -> set[str]:
    """Return the tasks that come after some of these, directly or not."""
    behind = set(tasks)
    owner = {node.key: node.task for node in plan.nodes}
    found: set[str] = set()
    # The plan is in topological order of its nodes, but a task may stand before one that it comes after.
    while True:
        more = {
            node.task
            for node in plan.nodes
            if node.task not in behind
            and any(owner[key] in behind for key in (*node.needs, *node.after) if owner[key] != node.task)
        }
        if not more:
            return found
        found |= more
        behind |= more


async def watch_hours(hours: StartHours, run: NightRun) -> None:
    """Watch the merge window beside the nodes, until cancelled."""
    if hours.hours is None:
        await asyncio.Event().wait()
    await hours.watch(run)
