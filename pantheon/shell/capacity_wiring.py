"""Brings together what the capacity outlook needs: the queue, the flows, the policy, earlier nights."""

from collections.abc import Iterable, Mapping
from datetime import UTC
from pathlib import Path

from pantheon.core.capacity_figures import Experience, Outlook, Waiting
from pantheon.core.capacity_load import work_name
from pantheon.core.capacity_outlook import foresee
from pantheon.core.capacity_window import Part, Tonight, find_tonight
from pantheon.core.carry_over import accepted_of, choose_takeable, leave_to_next_window
from pantheon.core.errors import ConfigError
from pantheon.core.flow import Flow
from pantheon.core.night_plan import plan_tasks
from pantheon.report.capacity import read_experience
from pantheon.shell.config import Project
from pantheon.shell.wiring import load_flows, load_policies, look_into_store


def policy_tonight(project: Project) -> Tonight:
    """Return the hours that a queue has now: what is left of an open window, else the next one, else the budget.

    Raises:
        ConfigError: the policy is wrong, names no time zone of this machine, or has a window in which nothing starts.
    """
    from pantheon.adapters.clock import SystemClock
    from pantheon.shell.hours_wiring import zone_of

    night = load_policies(project).night
    zone = UTC if night.window is None else zone_of(night.window)
    try:
        return find_tonight(night.window, zone, SystemClock().now(), float(night.budget.wall_s))
    except ValueError as error:
        raise ConfigError(
            f"policies/night.toml, [window]: {error}",
            hint="set days, start, end and last_start_s so that work can start, or ask with --window",
        ) from error


async def read_outlook(project: Project, *, slots: Mapping[str, int], tonight: Tonight) -> Outlook:
    """Return the outlook on what waits for a night.

    In a window that is open, what its nights have left waits for the next one: the daemon starts none for it.

    Raises:
        StoreError: the store cannot be read.
        ConfigError, FlowError: the flows are wrong, or do not fit the queue.
    """
    flows = load_flows(project)
    async with look_into_store(project) as store:
        if store is None:
            return foresee((), Experience(), slots=slots, tonight=tonight)
        done = accepted_of(await store.tasks())
        opened = tonight.opens_at if tonight.part is Part.LEFT else None
        pending = leave_to_next_window(await store.tasks(pending=True), await store.nights(), opened)
        # What needs a task that is held, or left, waits with it.
        pending = choose_takeable(pending, done)
        experience = await read_experience(store, held=_held(flows.values()))
    planned = plan_tasks({task.key: task.line for task in pending}, flows.values(), done)
    waiting = [Waiting(key, task.flow, (*task.needs, *task.after)) for key, task in planned.items()]
    return foresee(waiting, experience, slots=slots, tonight=tonight)


def known_resources(project: Project) -> frozenset[str]:
    """Return the resources that the configuration or a flow names. Raises ``ConfigError``."""
    flows = load_flows(project).values()
    return frozenset({*project.config.slots, *(name for held in _held(flows).values() for name in held)})


def _held(flows: Iterable[Flow]) -> dict[str, dict[str, int]]:
    """Return what each kind of work holds; where flows differ, the most."""
    found: dict[str, dict[str, int]] = {}
    for node in (node for flow in flows for node in flow.node):
        mine = found.setdefault(work_name(node), {})
        for resource, cost in node.resources.items():
            mine[resource] = max(mine.get(resource, 0), cost)
    return found


def write_picture(path: Path, picture: str) -> None:
    """Write a file that was asked for. Raises ``ConfigError``."""
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
