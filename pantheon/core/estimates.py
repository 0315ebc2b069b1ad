"""How long nodes are expected to take, from the attempts of an earlier night.

Nodes of one id do the same kind of work in every task, so the median of what they took is a better guess than any rule;
what was never seen is guessed by rule.
"""

from collections.abc import Callable, Iterable
from statistics import median

from pantheon.core.dag import expected_seconds
from pantheon.core.flow import FlowNode
from pantheon.core.records import AttemptOutcome, AttemptRecord

SHORTEST_S = 0.001
"""A node is never expected to take no time at all: its place in the order would be lost."""
_WORKED = frozenset({AttemptOutcome.SUCCEEDED, AttemptOutcome.FAILED})


def learn_durations(attempts: Iterable[AttemptRecord]) -> Callable[[FlowNode], float]:
    """Return what nodes are expected to take, in seconds.

    Args:
        attempts: of an earlier night; those that the machine or a person cut short teach nothing.
    """
    seen: dict[str, list[float]] = {}
    for attempt in attempts:
        if attempt.ended_at is None or attempt.result is None or attempt.result.outcome not in _WORKED:
            continue
        took_s = (attempt.ended_at - attempt.started_at).total_seconds()
        seen.setdefault(attempt.node.rpartition("#")[2], []).append(took_s)
    # A clock that was set back in the middle of an attempt says less than nothing.
    known = {name: max(SHORTEST_S, median(times)) for name, times in seen.items()}

    def expect(node: FlowNode) -> float:
        return known.get(node.id, expected_seconds(node))

    return expect
