"""Which tasks must take turns because they write the same files.

Two tasks with a common target would both start from the same base, and the second could not land. Their order is
known before the night: the one that others need first, then the queue's.

Invariant: the order it adds never contradicts the needs, so that it can make no circle.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one task writes, as far as its line says."""

    needs: tuple[str, ...]
    """Keys of the tasks it needs."""
    writes: tuple[str, ...]
    """Paths that it may change; empty when its flow only reads."""


def order_writers(tasks: Mapping[str, Footprint]) -> dict[str, tuple[str, ...]]:
    """Return task key -> keys of the tasks that it has to come after, sorted; tasks with none are left out.

    Args:
        tasks: task key -> footprint, in queue order.

    Returns:
        One predecessor per shared path: writers of a path form a chain. Nothing, when the needs are in a circle:
        the plan refuses them with a better message.
    """
    writers: dict[str, list[str]] = {}
    for key, task in tasks.items():
        for path in dict.fromkeys(task.writes):
            writers.setdefault(path, []).append(key)
    shared = [keys for keys in writers.values() if len(keys) > 1]
    if not shared:
        return {}
    place = _places(tasks)
    found: dict[str, set[str]] = {}
    for keys in shared if place else ():
        chain = sorted(keys, key=place.__getitem__)
        for before, after in pairwise(chain):
            if before not in tasks[after].needs:
                found.setdefault(after, set()).add(before)
    return {key: tuple(sorted(before)) for key, before in found.items()}


def _places(tasks: Mapping[str, Footprint]) -> dict[str, int]:
    """Return task key -> place in the one order that respects needs first and the queue second."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(tasks)
    graph.add_edges_from((need, key) for key, task in tasks.items() for need in task.needs if need in tasks)
    if not nx.is_directed_acyclic_graph(graph):
        return {}
    queue = {key: number for number, key in enumerate(tasks)}
    order = nx.lexicographical_topological_sort(graph, key=queue.__getitem__)
    return {key: number for number, key in enumerate(order)}
