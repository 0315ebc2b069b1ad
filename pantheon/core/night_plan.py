"""From the lines a night took to its plan's tasks: routed, with their needs, and in turns where they write alike."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from pantheon.core.dag import PlannedTask
from pantheon.core.errors import FlowError
from pantheon.core.flow import Flow, route_task
from pantheon.core.footprint import Footprint, order_writers
from pantheon.core.task import Task


def plan_tasks(
    lines: Mapping[str, str], flows: Collection[Flow], done: Collection[str] = ()
) -> dict[str, PlannedTask]:
    """Route every task and tell what it waits for.

    Args:
        lines: task key -> the task's canonical line, in queue order.
        flows: what tasks are routed to.
        done: tasks that earlier nights accepted; nothing waits for them any more.

    Raises:
        FlowError: a task has no flow, or no node of its flow applies to its target.
    """
    routes: dict[tuple[str | None, str | None], Flow] = {}
    cut: dict[tuple[str, str, tuple[str, ...]], Flow] = {}
    planned: dict[str, PlannedTask] = {}
    footprints: dict[str, Footprint] = {}
    for key, line in lines.items():
        task = Task.model_validate_json(line)
        way = (task.flow, task.kind)
        if way not in routes:
            routes[way] = route_task(task, flows)
        whole = routes[way]
        flow = whole.for_target(task.targets[0] if task.targets else "")
        if not flow.node:
            raise FlowError(f"task {key}: no node of the flow {flow.name!r} applies to {task.targets[0]!r}")
        # Tasks of one shape share one flow object: the plan measures each once.
        flow = cut.setdefault((flow.name, flow.version, tuple(node.id for node in flow.node)), flow)
        batch = key.rpartition("/")[0]
        needed = (f"{batch}/{need}" for need in task.needs)
        needs = tuple(need for need in needed if need in lines or need not in done)
        planned[key] = PlannedTask(flow=flow, needs=needs, priority=task.priority, package=task.package)
        writes = task.targets if any(node.writes for node in flow.node) else ()
        footprints[key] = Footprint(needs, writes)
    for key, after in order_writers(footprints).items():
        planned[key] = replace(planned[key], after=after)
    return planned
