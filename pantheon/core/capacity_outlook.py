"""Tonight's queue against the window: what it needs, what it waits for, what it is expected to land.

Invariants:
- a duration says where it comes from: measured, the flow's author, or a guess; the outlook says whether any is guessed;
- hours and loads are of every slot in use at once, with the interval that what was measured leaves open;
- an expected number never exceeds the tasks that wait, and its interval is given wherever it is.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from pantheon.core.capacity import Worked, batched_call_s, expect_accepted, fit_learning, queue_hours
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
from pantheon.core.capacity_load import (
    Duration,
    Key,
    Shape,
    duration_of,
    in_use,
    load_of_resources,
    scalings_of,
    shape_of,
    work_name,
)
from pantheon.core.capacity_say import Need, reach_of, say_outlook
from pantheon.core.capacity_window import Tonight, as_asked
from pantheon.core.errors import FlowError
from pantheon.core.figures import wilson
from pantheon.core.flow import FlowNode

BATCHES = (1, 2, 4, 8, 16)


def foresee(
    waiting: Sequence[Waiting],
    experience: Experience,
    *,
    slots: Mapping[str, int],
    window_s: float = 0.0,
    tonight: Tonight | None = None,
) -> Outlook:
    """Return the outlook on tonight's queue.

    Args:
        waiting: in queue order.
        experience: of earlier nights.
        slots: resource -> slots; one that is not named is unlimited.
        window_s: length of the window, in seconds; positive. Work may start in all of it.
        tonight: which hours they are, in place of ``window_s``.

    Raises:
        FlowError: tasks need each other in a circle.

    Source: DESIGN.md, section 11.
    """
    tonight = tonight or as_asked(window_s)
    services = {work: found for work, d in experience.durations.items() if (found := measure_service(d))}
    scalings = scalings_of(experience)
    shapes = {shape_of(one.flow): one.flow for one in waiting}
    tasks = Counter(shape_of(one.flow) for one in waiting)
    nodes = {(shape, node.id): node for shape, flow in shapes.items() for node in flow.node}
    counts = Counter({key: tasks[key[0]] for key in nodes})
    used = in_use(shapes, tasks, slots)
    takes = {
        key: duration_of(node, services, experience, scalings, slots, used) for key, node in nodes.items()
    }
    load = load_of_resources(nodes, counts, takes, scalings, slots, used, tonight.starting_s)
    longest = [
        _longest_s(waiting, {key: one.seconds * one.alone[end] for key, one in takes.items()})
        for end in range(3)
    ]
    need = Need(
        max((one.hours for one in load), default=0.0),
        max((one.hours_low for one in load), default=0.0),
        max((one.hours_high for one in load), default=0.0),
    )
    need = Need(*(max(hours, queue_hours(0.0, 1, path)) for hours, path in zip(need, longest, strict=True)))
    reach = reach_of(need, len(waiting), tonight)
    expected = _expected(waiting, experience, services, need, tonight.starting_s)
    judged, accepted = sum(r.judged for r in experience.results), sum(r.accepted for r in experience.results)
    curve = fit_learning(_learning_points(experience.results))
    call = fit_call(experience.costs)
    guessed = any(one.basis is not Basis.MEASURED for one in takes.values())
    return Outlook(
        sentence=say_outlook(
            len(waiting), need, reach, tonight, load, guessed=guessed, nights=experience.nights
        ),
        tasks=len(waiting),
        nodes=counts.total(),
        window=tonight.part,
        opens_at=tonight.opens_at,
        closes_at=tonight.closes_at,
        window_h=tonight.length_s / 3600,
        starting_h=tonight.starting_s / 3600,
        needed_h=need.likely,
        needed_low_h=need.low,
        needed_high_h=need.high,
        nights_needed=reach.nights,
        not_reached=reach.not_reached,
        longest_path_h=longest[0] / 3600,
        nights_measured=experience.nights,
        barren_nights=experience.barren_nights,
        guessed=guessed,
        resources=load,
        work=_work(nodes, counts, takes, services, experience, load),
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
    takes: Mapping[Key, Duration],
    services: Mapping[str, ServiceTime],
    experience: Experience,
    load: Sequence[ResourceLoad],
) -> tuple[WorkRate, ...]:
    contended = {one.resource: place for place, one in enumerate(load)}
    rows: dict[tuple[str, Basis], WorkRate] = {}
    for key, node in nodes.items():
        name, found = work_name(node), takes[key]
        basis, times = found.basis, found.full.likely
        seconds = found.seconds * times
        held = sorted((one for one in node.resources if one in contended), key=contended.__getitem__)
        measured = services.get(name)
        before = rows.get((name, basis))
        rows[name, basis] = WorkRate(
            work=name,
            resource=held[0] if held else "",
            nodes=counts[key] + (before.nodes if before else 0),
            basis=basis,
            mean_s=seconds,
            low_s=measured.low_s * times if measured else None,
            high_s=measured.high_s * times if measured else None,
            per_hour=3600 / seconds,
            stretch=times,
            measured_attempts=measured.attempts if measured else 0,
            accepted=wilson(*experience.tasks.get(node.agent, (0, 0))) if node.agent else None,
        )
    return tuple(sorted(rows.values(), key=lambda row: (-row.nodes * row.mean_s, row.work)))


def _expected(
    waiting: Sequence[Waiting],
    experience: Experience,
    services: Mapping[str, ServiceTime],
    need: Need,
    starting_s: float,
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
    if not kinds or any(rate.share is None for rate in shares.values()) or need.low <= 0:
        return None
    slow, fast = _spread(services)

    def night(pick: Mapping[str, float], hours: float) -> float:
        served_s = min(starting_s, hours * 3600)
        work = [
            Worked(per_s=count / (hours * 3600), accepted=math.sqrt(pick[agent]))
            for agent, count in kinds.items()
        ]
        return expect_accepted(served_s, work)

    return (
        night({agent: rate.share or 0.0 for agent, rate in shares.items()}, need.likely),
        night({agent: rate.low for agent, rate in shares.items()}, need.high * slow),
        night({agent: rate.high for agent, rate in shares.items()}, need.low * fast),
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
