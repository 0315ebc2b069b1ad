"""A lower bound on the makespan of a graph on equal workers, closer than work over workers and the longest path.

For every pair of a head (time before a node can start) and a tail (time after its end) take the nodes that have at
least both. Whatever the schedule, it is no shorter than

- the mean over the workers of what each has before, in and after its part of those nodes: the ``workers`` smallest
  heads, all their work and the ``workers`` smallest tails, over the workers (Fernandez and Bussell, 1973, in the
  form with heads and tails);
- head + tail + what one worker must do: among the ``k * workers + 1`` longest of them some worker has ``k + 1``, whose
  work is at least that of the ``k + 1`` shortest of these.
"""

from bisect import insort
from collections.abc import Iterator, Sequence

from workload import Node, lower_bound_s


def close_bound_s(graph: Sequence[Node], workers: int) -> float:
    """Return a makespan that no schedule is shorter than."""
    heads: list[float] = []
    for node in graph:
        heads.append(max((heads[need] + graph[need].seconds for need in node.needs), default=0.0))
    tails = [0.0] * len(graph)
    for place in reversed(range(len(graph))):
        for need in graph[place].needs:
            tails[need] = max(tails[need], tails[place] + graph[place].seconds)
    by_tail = sorted(range(len(graph)), key=lambda place: -tails[place])
    best = lower_bound_s(graph, workers)
    for head in sorted(set(heads)):
        among = [place for place in by_tail if heads[place] >= head]
        best = max([best, *_bounds(graph, workers, among, heads, tails)])
    return best


def _bounds(
    graph: Sequence[Node], workers: int, among: Sequence[int], heads: Sequence[float], tails: Sequence[float]
) -> Iterator[float]:
    """Yield bounds from growing sets of nodes, those with the longest tails first."""
    first: list[float] = []
    longest: list[float] = []
    last: list[float] = []
    work = 0.0
    for number, place in enumerate(among):
        insort(first, heads[place])
        insort(longest, -graph[place].seconds)
        last.append(tails[place])
        work += graph[place].seconds
        if number + 1 < len(among) and tails[among[number + 1]] == last[-1]:
            continue
        if len(first) >= workers:
            yield (sum(first[:workers]) + work + sum(last[-workers:])) / workers
        for most in range(1, (len(longest) - 1) // workers + 1):
            crowded = -sum(longest[most * workers - most : most * workers + 1])
            yield first[0] + crowded + last[-1]
