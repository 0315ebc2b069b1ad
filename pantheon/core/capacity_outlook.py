"""Tonight's queue against the window: what it needs, what it waits for, what it is expected to land.

Invariants:
- a duration says where it comes from: measured, the flow's author, or a guess; the outlook says whether any is guessed;
- the sentence is about the resource that is used most;
- an expected number never exceeds the tasks that wait, and its interval is given wherever it is.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from pantheon.core.capacity import Worked, batched_call_s, expect_accepted, fit_learning, mmc, queue_hours
from pantheon.core.capacity_figures import (
    Basis,
    BatchedCall,
    Experience,
    NightResult,
    Outlook,
    ResourceLoad,
    Waiting,
    WorkRate,
)
from pantheon.core.capacity_fit import CallParts, ServiceTime, fit_call, measure_service
from pantheon.core.dag import expected_seconds
from pantheon.core.errors import FlowError
from pantheon.core.figures import wilson
from pantheon.core.flow import Flow, FlowNode

BATCHES = (1, 2, 4, 8, 16)

Shape = tuple[str, ...]
"""A flow as a task has it: its name and the nodes that are left of it."""
Key = tuple[Shape, str]
"""A node of a shape."""
Means = Mapping[Key, tuple[float, Basis]]


def work_name(node: FlowNode) -> str:
    """Return the name under which a node's durations are kept."""
    return node.agent or node.id


def shape_of(flow: Flow) -> Shape:
    """Return what tells a flow from another, also where a target leaves nodes out."""
    return (flow.name, *(node.id for node in flow.node))


def foresee(
    waiting: Sequence[Waiting], experience: Experience, *, slots: Mapping[str, int], window_s: float
) -> Outlook:
    """Return the outlook on tonight's queue.

    Args:
        waiting: in queue order.
        experience: of earlier nights.
        slots: resource -> slots; one that is not named is unlimited.
        window_s: length of the window, in seconds; positive.

    Raises:
        FlowError: tasks need each other in a circle.

    Source: DESIGN.md, section 11.
    """
    services = {work: found for work, d in experience.durations.items() if (found := measure_service(d))}
    shapes = {shape_of(one.flow): one.flow for one in waiting}
    tasks = Counter(shape_of(one.flow) for one in waiting)
    nodes = {(shape, node.id): node for shape, flow in shapes.items() for node in flow.node}
    counts = Counter({key: tasks[key[0]] for key in nodes})
    mean = {key: _mean(node, services) for key, node in nodes.items()}
    load = _resources(nodes, counts, mean, slots, window_s)
    longest = _longest_s(waiting, {key: seconds for key, (seconds, _) in mean.items()})
    needed_h = max((one.hours for one in load), default=0.0)
    needed_h = max(needed_h, queue_hours(0.0, 1, longest))
    work = _work(nodes, counts, mean, services, experience, load)
    expected = _expected(waiting, experience, services, needed_h, window_s)
    judged, accepted = sum(r.judged for r in experience.results), sum(r.accepted for r in experience.results)
    curve = fit_learning(_learning_points(experience.results))
    call = fit_call(experience.costs)
    guessed = any(basis is not Basis.MEASURED for _, basis in mean.values())
    return Outlook(
        sentence=_say(len(waiting), needed_h, window_s, load, guessed=guessed, nights=experience.nights),
        tasks=len(waiting),
        nodes=counts.total(),
        window_h=window_s / 3600,
        needed_h=needed_h,
        longest_path_h=longest / 3600,
        nights_measured=experience.nights,
        guessed=guessed,
        resources=load,
        work=work,
        accepted=expected[0] if expected else None,
        accepted_low=expected[1] if expected else None,
        accepted_high=expected[2] if expected else None,
        pass_rate=wilson(accepted, judged),
        learning=curve,
        learned=accepted,
        next_pass_rate=None if curve is None else curve.curve.at(accepted),
        call=call,
        batching=_batching(call, experience),
    )


def _mean(node: FlowNode, services: Mapping[str, ServiceTime]) -> tuple[float, Basis]:
    if (measured := services.get(work_name(node))) is not None:
        return measured.mean_s, Basis.MEASURED
    return expected_seconds(node), Basis.GUESSED if node.expected_s is None else Basis.EXPECTED


def _resources(
    nodes: Mapping[Key, FlowNode],
    counts: Mapping[Key, int],
    mean: Means,
    slots: Mapping[str, int],
    window_s: float,
) -> tuple[ResourceLoad, ...]:
    work: dict[str, float] = defaultdict(float)
    arrivals: dict[str, int] = defaultdict(int)
    for key, node in nodes.items():
        for resource, cost in node.resources.items():
            if resource in slots:
                work[resource] += counts[key] * mean[key][0] * cost
                arrivals[resource] += counts[key]
    rows = [
        ResourceLoad(
            resource=resource,
            slots=slots[resource],
            work_s=seconds,
            hours=queue_hours(seconds, slots[resource]),
            queue=mmc(arrivals[resource] / window_s, arrivals[resource] / seconds, slots[resource]),
        )
        for resource, seconds in work.items()
        if seconds > 0
    ]
    return tuple(sorted(rows, key=lambda row: (-row.queue.load, row.resource)))


def _longest_s(waiting: Sequence[Waiting], mean: Mapping[Key, float]) -> float:
    """Return the length of the longest chain of tasks. Raises ``FlowError``."""
    alone: dict[Shape, float] = {}
    for one in waiting:
        if shape_of(one.flow) not in alone:
            needs = {node.id: node.needs for node in one.flow.node}
            ends: dict[str, float] = {}
            for node in TopologicalSorter(needs).static_order():
                before = max((ends[need] for need in needs[node]), default=0.0)
                ends[node] = before + mean[shape_of(one.flow), node]
            alone[shape_of(one.flow)] = max(ends.values())
    length = {one.key: alone[shape_of(one.flow)] for one in waiting}
    graph = {one.key: [need for need in one.needs if need in length] for one in waiting}
    chain: dict[str, float] = {}
    try:
        for key in TopologicalSorter(graph).static_order():
            chain[key] = max((chain[need] for need in graph[key]), default=0.0) + length[key]
    except CycleError as error:
        raise FlowError("tasks need each other in a circle: " + " -> ".join(error.args[1])) from error
    return max(chain.values(), default=0.0)


def _work(
    nodes: Mapping[Key, FlowNode],
    counts: Mapping[Key, int],
    mean: Means,
    services: Mapping[str, ServiceTime],
    experience: Experience,
    load: Sequence[ResourceLoad],
) -> tuple[WorkRate, ...]:
    contended = {one.resource: place for place, one in enumerate(load)}
    rows: dict[tuple[str, Basis], WorkRate] = {}
    for key, node in nodes.items():
        name, (seconds, basis) = work_name(node), mean[key]
        held = sorted((one for one in node.resources if one in contended), key=contended.__getitem__)
        measured = services.get(name)
        before = rows.get((name, basis))
        rows[name, basis] = WorkRate(
            work=name,
            resource=held[0] if held else "",
            nodes=counts[key] + (before.nodes if before else 0),
            basis=basis,
            mean_s=seconds,
            low_s=measured.low_s if measured else None,
            high_s=measured.high_s if measured else None,
            per_hour=3600 / seconds,
            measured_attempts=measured.attempts if measured else 0,
            accepted=wilson(*experience.tasks.get(node.agent, (0, 0))) if node.agent else None,
        )
    return tuple(sorted(rows.values(), key=lambda row: (-row.nodes * row.mean_s, row.work)))


def _expected(
    waiting: Sequence[Waiting],
    experience: Experience,
    services: Mapping[str, ServiceTime],
    needed_h: float,
    window_s: float,
) -> tuple[float, float, float] | None:
    """Return the expected number of accepted changes and its interval.

    A night serves a task of a kind at the rate at which its share of the queue is worked off: ``mu_i = n_i / needed``.
    Only agents that write are judged by what became of the task, so ``p_i^2``, both reviewers agreeing, is measured as
    one share.
    """
    kinds: Counter[str] = Counter()
    for one in waiting:
        writer = next((node.agent for node in one.flow.node if node.agent and node.writes), None)
        kinds[writer or ""] += 1
    shares = {agent: wilson(*experience.tasks.get(agent, (0, 0))) for agent in kinds}
    if not kinds or any(rate.share is None for rate in shares.values()) or needed_h <= 0:
        return None
    slow, fast = _spread(services)

    def night(pick: Mapping[str, float], hours: float) -> float:
        served_s = min(window_s, hours * 3600)
        work = [
            Worked(per_s=count / (hours * 3600), accepted=math.sqrt(pick[agent]))
            for agent, count in kinds.items()
        ]
        return expect_accepted(served_s, work)

    return (
        night({agent: rate.share or 0.0 for agent, rate in shares.items()}, needed_h),
        night({agent: rate.low for agent, rate in shares.items()}, needed_h * slow),
        night({agent: rate.high for agent, rate in shares.items()}, needed_h * fast),
    )


def _spread(services: Mapping[str, ServiceTime]) -> tuple[float, float]:
    """Return how much longer and shorter all work may take than its mean, by the intervals together."""
    total = math.fsum(one.mean_s for one in services.values())
    if total <= 0:
        return 1.0, 1.0
    high, low = (math.fsum(getattr(one, end) for one in services.values()) for end in ("high_s", "low_s"))
    return high / total, low / total


def _learning_points(results: Sequence[NightResult]) -> list[tuple[float, float]]:
    points, examples = [], 0
    for one in results:
        if one.judged:
            points.append((float(examples), one.accepted / one.judged))
        examples += one.accepted
    return points


def _batching(call: CallParts | None, experience: Experience) -> tuple[BatchedCall, ...]:
    if call is None:
        return ()
    parts = {
        "tau_s": call.tau_s,
        "prefill_s": call.prefill_s * experience.mean_prompt_tokens,
        "decode_s": call.decode_s * experience.mean_completion_tokens,
    }
    alone = batched_call_s(1, **parts)
    rows = []
    for batch in BATCHES:
        seconds = batched_call_s(batch, **parts)
        rows.append(
            BatchedCall(batch=batch, seconds=seconds, saved=1 - seconds / alone if alone > 0 else 0.0)
        )
    return tuple(rows)


def _say(
    tasks: int,
    needed_h: float,
    window_s: float,
    load: Sequence[ResourceLoad],
    *,
    guessed: bool,
    nights: int,
) -> str:
    if not tasks:
        return "nothing waits for a night, so tonight's load is 0"
    about = (
        ""
        if not guessed
        else " (by guesses: nothing was measured yet)"
        if not nights
        else " (partly by guesses: not all of this work was measured yet)"
    )
    text = f"tonight's queue needs {needed_h:.2g} h of the {window_s / 3600:.3g} h window"
    if load:
        text += f"; rho {load[0].queue.load:.2f} for {load[0].resource}"
    if needed_h * 3600 > window_s:
        text += "; it will not be finished"
    return text + about
