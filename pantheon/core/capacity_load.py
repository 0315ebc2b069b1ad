"""What tonight's work takes, and what it makes of each resource, at the number at once that its slots allow.

Invariants:
- a duration says where it comes from: measured, the flow's author, or a guess; the last two are of a lone attempt;
- every figure of a resource, its service rate too, is of all its slots in use at once.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import NamedTuple

from pantheon.core.capacity import mmc, queue_hours
from pantheon.core.capacity_figures import Basis, Experience, Gain, ResourceLoad
from pantheon.core.capacity_fit import ServiceTime
from pantheon.core.capacity_scaling import SAME, Scaling, Stretch, fit_scaling, stretch
from pantheon.core.dag import expected_seconds
from pantheon.core.flow import Flow, FlowNode

Shape = tuple[str, ...]
"""A flow as a task has it: its name and the nodes that are left of it."""
Key = tuple[Shape, str]
"""A node of a shape."""


class Duration(NamedTuple):
    """What one node takes."""

    seconds: float
    """As measured, expected or guessed."""
    basis: Basis
    full: Stretch
    """Times as long with every slot of its resources in use."""
    busy: Stretch
    """Times as long with as many in use as tonight's queue can use."""
    alone: Stretch
    """Times as long with nothing beside it."""


def work_name(node: FlowNode) -> str:
    """Return the name under which a node's durations are kept."""
    return node.agent or node.id


def shape_of(flow: Flow) -> Shape:
    """Return what tells a flow from another, also where a target leaves nodes out."""
    return (flow.name, *(node.id for node in flow.node))


def scalings_of(experience: Experience) -> dict[str, Scaling]:
    """Return how work slows down, for each resource that was measured."""
    return {resource: fit_scaling(paces) for resource, paces in experience.paces.items()}


def in_use(
    flows: Mapping[Shape, Flow], tasks: Mapping[Shape, int], slots: Mapping[str, int]
) -> dict[str, int]:
    """Return how many slots of each resource a queue can use at once: a short one leaves some of them idle.

    Args:
        flows: of tonight's tasks.
        tasks: shape -> how many of them.
        slots: resource -> slots.
    """
    wide: dict[str, int] = defaultdict(int)
    for shape, flow in flows.items():
        needs = {node.id: node.needs for node in flow.node}
        depth: dict[str, int] = {}
        for node in TopologicalSorter(needs).static_order():
            depth[node] = 1 + max((depth[need] for need in needs[node]), default=0)
        held: Counter[tuple[str, int]] = Counter()
        for one in flow.node:
            for resource, cost in one.resources.items():
                held[resource, depth[one.id]] += cost
        for resource in {name for name, _ in held}:
            wide[resource] += tasks[shape] * max(
                count for (name, _), count in held.items() if name == resource
            )
    return {resource: max(min(count, wide[resource]), 1) for resource, count in slots.items()}


def duration_of(
    node: FlowNode,
    services: Mapping[str, ServiceTime],
    experience: Experience,
    scalings: Mapping[str, Scaling],
    slots: Mapping[str, int],
    used: Mapping[str, int],
) -> Duration:
    """Return what a node takes, and how that changes with what runs beside it.

    Args:
        node: of a flow.
        services: work -> its measured time.
        experience: of earlier nights.
        scalings: resource -> how work slows down.
        slots: resource -> slots.
        used: resource -> how many of those tonight's queue can use.
    """
    name = work_name(node)
    measured = services.get(name)
    basis = Basis.MEASURED
    if measured is None:
        basis = Basis.GUESSED if node.expected_s is None else Basis.EXPECTED
    full, busy, alone = [SAME], [SAME], [SAME]
    for resource, cost in node.resources.items():
        if resource not in slots:
            continue
        scaling = scalings.get(resource, Scaling())
        known = experience.paces.get(resource, ()) if measured is not None else ()
        paces = [one for one in known if one.work == name]
        full.append(stretch(scaling, paces, max(slots[resource], cost)))
        busy.append(stretch(scaling, paces, max(used[resource], cost)))
        alone.append(stretch(scaling, paces, max(cost, 1)))
    seconds = expected_seconds(node) if measured is None else measured.mean_s
    return Duration(seconds, basis, _furthest(full), _furthest(busy), _furthest(alone))


def load_of_resources(
    nodes: Mapping[Key, FlowNode],
    counts: Mapping[Key, int],
    durations: Mapping[Key, Duration],
    scalings: Mapping[str, Scaling],
    slots: Mapping[str, int],
    used: Mapping[str, int],
    starting_s: float,
) -> tuple[ResourceLoad, ...]:
    """Return what each resource has to do in ``starting_s`` seconds, the highest load first.

    Hours are of the slots that the queue can use, loads and rates of all slots in use.

    Source: DESIGN.md, section 11 ("load").
    """
    work: dict[str, list[tuple[float, Duration]]] = defaultdict(list)
    arrivals: dict[str, int] = defaultdict(int)
    for key, node in nodes.items():
        for resource, cost in node.resources.items():
            if resource in slots and durations[key].seconds > 0:
                work[resource].append((counts[key] * durations[key].seconds * cost, durations[key]))
                arrivals[resource] += counts[key]
    rows = []
    for resource, parts in work.items():
        full = _total([(seconds, one.full) for seconds, one in parts])
        busy = _total([(seconds, one.busy) for seconds, one in parts])
        count, scaling = slots[resource], scalings.get(resource, Scaling())
        queue = mmc(arrivals[resource] / starting_s, arrivals[resource] / full.likely, count)
        open_end = Gain.UNKNOWN if scaling.slowing is None else Gain.FORECAST
        rows.append(
            ResourceLoad(
                resource=resource,
                slots=count,
                in_use=used[resource],
                work_s=full.likely,
                hours=queue_hours(busy.likely, used[resource]),
                hours_low=queue_hours(busy.low, used[resource]),
                hours_high=queue_hours(busy.high, used[resource]),
                load_low=queue.load * (full.low / full.likely),
                load_high=queue.load * (full.high / full.likely),
                queue=queue,
                gain=open_end if full.low < full.high else Gain.MEASURED,
                scaling=scaling,
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.queue.load, row.resource)))


def _total(parts: Sequence[tuple[float, Stretch]]) -> Stretch:
    return Stretch(*(math.fsum(seconds * times[end] for seconds, times in parts) for end in range(len(SAME))))


def _furthest(found: Sequence[Stretch]) -> Stretch:
    """Return the one that is furthest from what was measured: of two resources, the one that changes most counts."""
    return max(found, key=lambda one: (abs(math.log(one.likely)), one.high / one.low))
