"""Brings together what the capacity outlook needs: the queue, the flows, the policy, earlier nights."""

from collections.abc import Mapping
from pathlib import Path

from pantheon.core.capacity_figures import Experience, Outlook, Waiting
from pantheon.core.capacity_outlook import foresee
from pantheon.core.carry_over import accepted_of, choose_takeable
from pantheon.core.errors import ConfigError
from pantheon.core.night_plan import plan_tasks
from pantheon.core.window import current_or_next
from pantheon.report.capacity import read_experience
from pantheon.shell.config import Project
from pantheon.shell.wiring import load_flows, load_policies, look_into_store


def policy_window_s(project: Project) -> float:
    """Return the seconds of the window that is open or opens next, and never more than a night's budget.

    Raises:
        ConfigError: the policy is wrong, or names no time zone of this machine.
    """
    from pantheon.adapters.clock import SystemClock
    from pantheon.shell.hours_wiring import zone_of

    night = load_policies(project).night
    budget_s = float(night.budget.wall_s)
    if night.window is None:
        return budget_s
    span = current_or_next(night.window, zone_of(night.window), SystemClock().now())
    return min((span.closes_at - span.opens_at).total_seconds(), budget_s)


async def read_outlook(project: Project, *, slots: Mapping[str, int], window_s: float) -> Outlook:
    """Return the outlook on what waits for a night.

    Raises:
        StoreError: the store cannot be read.
        ConfigError, FlowError: the flows are wrong, or do not fit the queue.
    """
    flows = load_flows(project)
    async with look_into_store(project) as store:
        if store is None:
            return foresee((), Experience(), slots=slots, window_s=window_s)
        done = accepted_of(await store.tasks())
        # What needs a held task waits with it.
        pending = choose_takeable(await store.tasks(pending=True), done)
        experience = await read_experience(store)
    planned = plan_tasks({task.key: task.line for task in pending}, flows.values(), done)
    waiting = [Waiting(key, task.flow, (*task.needs, *task.after)) for key, task in planned.items()]
    return foresee(waiting, experience, slots=slots, window_s=window_s)


def write_picture(path: Path, picture: str) -> None:
    """Write a file that was asked for. Raises ``ConfigError``."""
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
