"""What must hold of every night that the scheduler drove, judged from the trace alone.

Each law is a function that raises ``AssertionError`` with what was seen; none of them asks the scheduler.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pantheon.core.dag import PlannedNode, expected_seconds
from pantheon.core.dispatch import MAX_OVERTAKES
from pantheon.core.orders import Standing
from pantheon.core.records import NodeState
from pantheon.testing.simulated_night import Start, Trace

NEVER = float("inf")
ROUNDING_S = 1e-6
"""Sums of seconds differ by their order."""


@dataclass(frozen=True)
class Wait:
    """A stretch of time in which a node could have run."""

    node: PlannedNode
    since: float
    until: float
    """When it started, or ended without."""


def dependencies(trace: Trace) -> None:
    """A node starts once all it needs has succeeded and all it comes after has ended."""
    for start in trace.starts:
        node = _nodes(trace)[start.key]
        for need in node.needs:
            at, ended = trace.ended.get(need, (NEVER, None))
            assert at <= start.at, f"{start.key} started at {start.at} before {need} had ended"
            assert ended is not None and ended.state is NodeState.SUCCEEDED, f"{start.key} ran after {ended}"
        for before in node.after:
            assert trace.ended.get(before, (NEVER, None))[0] <= start.at, f"{start.key} overtook {before}"


def slots(trace: Trace) -> None:
    """No slot is given twice, and never more attempts are unrecorded than allowed."""
    for start in trace.starts:
        assert all(left >= 0 for left in start.free.values()), f"{start} took slots that were not there"
    assert all(idle.open <= trace.case.at_once for idle in trace.idle), "more attempts than at_once"


def attempts(trace: Trace) -> None:
    """A node runs as often as its work wants it, one attempt at a time; fewer times only when it was cancelled."""
    for key, work in trace.case.work.items():
        times = [start.at for start in trace.starts if start.key == key]
        freed = [at for at, one in trace.freed if one == key]
        assert all(end <= start for start, end in zip(times[1:], freed, strict=False)), f"{key} twice at once"
        due = trace.again.get(key, [])
        assert all(at <= start for at, start in zip(due, times[1:], strict=False)), f"{key} did not wait"
        wanted = 1 + len(work.again_s)
        ended = trace.ended[key][1].state if key in trace.ended else NodeState.WAITING
        if ended in (NodeState.SUCCEEDED, NodeState.FAILED):
            assert len(times) == wanted, f"{key} ran {len(times)} times, not {wanted}"
        else:
            assert len(times) <= wanted, f"{key} ran {len(times)} times, more than {wanted}"


def ends(trace: Trace) -> None:
    """Every node ends in one terminal state, told once, and for a reason: its work, a need, or the operator.

    Open stays only what is held when nothing else is left, and what waits for that.
    """
    assert not trace.told_twice, f"told twice: {trace.told_twice}"
    assert {key: ended for key, (_, ended) in trace.ended.items()} == trace.scheduler_says
    left = {node.key for node in trace.case.nodes} - set(trace.ended)
    for node in trace.case.nodes:
        if node.key in left:
            held = _standing(trace, trace.over_at).hold_cause(node.task)
            waits = left & {*node.needs, *node.after} or _parked(trace, node, left)
            assert held or waits, f"{node.key} never ended"
            continue
        at, ended = trace.ended[node.key]
        if ended.state is NodeState.SKIPPED:
            known = [trace.ended[need][1].state for need in node.needs if need in trace.ended]
            assert set(known) - {NodeState.SUCCEEDED}, f"{node.key} was skipped though no need was lost"
        elif ended.state is NodeState.CANCELLED:
            assert _standing(trace, at).cancel_cause(node.task), f"{node.key} was cancelled by nobody"
        else:
            fails = trace.case.work[node.key].fails
            assert ended.state is (NodeState.FAILED if fails else NodeState.SUCCEEDED)


def operator(trace: Trace) -> None:
    """Nothing starts while the night is paused, its task held, or once its task is cancelled."""
    for start in trace.starts:
        standing, task = _standing(trace, start.at), _nodes(trace)[start.key].task
        assert not standing.paused, f"{start.key} started at {start.at} in a pause"
        assert not standing.hold_cause(task), f"{start.key} started at {start.at} while held"
        assert not standing.cancel_cause(task), f"{start.key} started at {start.at} though cancelled"


def barrier(trace: Trace) -> None:
    """By level, nothing starts before everything of the levels below has ended."""
    if not trace.case.by_level:
        return
    for start in trace.starts:
        level = _nodes(trace)[start.key].level
        below = [node.key for node in trace.case.nodes if node.level < level]
        late = [key for key in below if trace.ended.get(key, (NEVER, None))[0] > start.at]
        assert not late, f"{start.key} of level {level} started at {start.at} before {late}"


def no_idling(trace: Trace) -> None:
    """No node whose slots are free waits, unless they are kept for one that was overtaken often enough."""
    waits = list(_waits(trace))
    for idle in trace.idle:
        if idle.open >= trace.case.at_once or _standing(trace, idle.at).paused:
            continue
        standing = _standing(trace, idle.at)
        for wait in waits:
            if wait.since <= idle.at < wait.until and not standing.hold_cause(wait.node.task):
                assert not _fits(wait.node, idle.free) or _kept(trace, waits, idle.at), (
                    f"{wait.node.key} waits at {idle.at} although {dict(idle.free)} is free"
                )


def priority(trace: Trace) -> None:
    """Nothing overtakes a node of a more urgent task whose slots are free."""
    waits = list(_waits(trace))
    for start in trace.starts:
        standing = _standing(trace, start.at)
        mine = trace.case.tasks[_nodes(trace)[start.key].task].priority
        before = _free_before(trace, start)
        for wait in _waiting_at(waits, start):
            if standing.hold_cause(wait.node.task) or trace.case.tasks[wait.node.task].priority <= mine:
                continue
            assert not _fits(wait.node, before) or _kept(trace, waits, start.at), (
                f"{start.key} started at {start.at} although the more urgent {wait.node.key} could"
            )


def overtaking(trace: Trace) -> None:
    """A node more urgent than all others is kept from its slots by at most ``MAX_OVERTAKES`` starts."""
    tasks = trace.case.tasks
    for wait in _waits(trace):
        if sum(tasks[one.task].priority >= tasks[wait.node.task].priority for one in trace.case.nodes) > 1:
            continue
        count = len(_overtakers(trace, wait, wait.until))
        assert count <= MAX_OVERTAKES, f"{wait.node.key} was overtaken {count} times"


def fairness(trace: Trace) -> None:
    """While one package waits, no other gets further ahead of it than two nodes' work beyond where it was.

    One node is what the other may have been behind at first, for a package that comes late starts level with the
    least served one and not with nothing; one is what any taking of turns costs. Holds for tasks of one node, of equal
    priority, that need the same slots.
    """
    served: dict[str, float] = {}
    lead: dict[tuple[str, str], float] = {}
    waits, nodes, tasks = list(_waits(trace)), _nodes(trace), trace.case.tasks
    longest = max((expected_seconds(node.node) for node in nodes.values()), default=0.0)
    for start in trace.starts:
        standing = _standing(trace, start.at)
        mine = tasks[nodes[start.key].task].package
        waiting = {tasks[one.node.task].package for one in _waiting_at(waits, start)
                   if not standing.hold_cause(one.node.task)}  # fmt: skip
        # A lead counts from the moment the other began to wait.
        lead = {pair: ahead for pair, ahead in lead.items() if pair[1] in waiting}
        gap = {other: served.get(mine, 0.0) - served.get(other, 0.0) for other in waiting - {mine}}
        served[mine] = served.get(mine, 0.0) + expected_seconds(nodes[start.key].node)
        for other, before in gap.items():
            allowed = lead.setdefault((mine, other), max(before, 0.0)) + 2 * longest
            ahead = served[mine] - served.get(other, 0.0)
            assert ahead <= allowed + ROUNDING_S, (
                f"at {start.at} {mine!r} is {ahead} ahead of {other!r}, which waits"
            )


LAWS: tuple[Callable[[Trace], None], ...] = (
    dependencies, slots, attempts, ends, operator, barrier, no_idling, priority, overtaking,
)  # fmt: skip
"""What holds of every night; ``fairness`` holds of nights of one kind only."""


def _parked(trace: Trace, node: PlannedNode, left: set[str]) -> bool:
    """Whether a node waits for a level in which something is left."""
    return trace.case.by_level and any(_nodes(trace)[key].level < node.level for key in left)


def _nodes(trace: Trace) -> dict[str, PlannedNode]:
    return {node.key: node for node in trace.case.nodes}


def _standing(trace: Trace, at: float) -> Standing:
    return next((one for when, one in reversed(trace.case.orders) if when <= at), Standing())


def _waits(trace: Trace) -> Iterator[Wait]:
    """Yield when each node could have run but for slots and the operator."""
    for node in trace.case.nodes:
        known = [trace.ended.get(key, (NEVER, None)) for key in (*node.needs, *node.after)]
        if trace.case.by_level:
            known += [trace.ended.get(o.key, (NEVER, None)) for o in trace.case.nodes if o.level < node.level]
        since = [max((at for at, _ in known), default=0.0), *trace.again.get(node.key, [])]
        starts = [start.at for start in trace.starts if start.key == node.key]
        for number, begun in enumerate(since):
            until = starts[number] if number < len(starts) else trace.ended.get(node.key, (NEVER, None))[0]
            yield Wait(node, begun, until)


def _waiting_at(waits: list[Wait], start: Start) -> Iterator[Wait]:
    """Yield what waited before the moment of a start and went on waiting after it."""
    for wait in waits:
        if wait.since < start.at < wait.until:
            yield wait


def _fits(node: PlannedNode, free: object) -> bool:
    assert isinstance(free, dict)
    return all(free.get(name, cost) >= cost for name, cost in node.node.resources.items())


def _free_before(trace: Trace, start: Start) -> dict[str, int]:
    taken = _nodes(trace)[start.key].node.resources
    return {name: left + taken.get(name, 0) for name, left in start.free.items()}


def _overtakers(trace: Trace, wait: Wait, until: float) -> list[Start]:
    """Return the starts of less urgent nodes that took what a waiting node then lacked."""
    nodes, tasks = _nodes(trace), trace.case.tasks
    found = []
    for start in trace.starts:
        if start.at > until or (start.key == wait.node.key and start.at == wait.until):
            break
        if start.at <= wait.since:
            continue
        if tasks[nodes[start.key].task].priority >= tasks[wait.node.task].priority:
            continue
        lacks = {name for name, cost in wait.node.node.resources.items() if start.free.get(name, cost) < cost}
        if lacks & set(nodes[start.key].node.resources):
            found.append(start)
    return found


def _kept(trace: Trace, waits: list[Wait], at: float) -> bool:
    return any(
        wait.since < at < wait.until and len(_overtakers(trace, wait, at)) >= MAX_OVERTAKES for wait in waits
    )
