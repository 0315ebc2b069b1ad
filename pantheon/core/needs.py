"""What the tasks of one file need of each other: circles and levels.

Everything here is a loop, not a recursion: a chain of a hundred thousand tasks is an ordinary file.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

Needs = Mapping[str, Sequence[str]]
"""Task id -> ids of the tasks it needs; a task that needs nothing may be left out."""


def find_circles(needs: Needs) -> Iterator[tuple[str, ...]]:
    """Yield circles, each once, as the ids along it; the last needs the first.

    A circle that shares a task with one that was yielded already may be left out, so that the number of circles
    is bounded by the number of tasks. There is a circle if and only if one is yielded.
    """
    done: set[str] = set()
    told: set[str] = set()
    for start in needs:
        if start in done:
            continue
        path: list[str] = [start]
        place = {start: 0}
        waiting = [iter(needs[start])]
        while waiting:
            need = next(waiting[-1], None)
            if need is None:
                waiting.pop()
                left = path.pop()
                del place[left]
                done.add(left)
            elif need in place:
                circle = tuple(path[place[need] :])
                if told.isdisjoint(circle):
                    told.update(circle)
                    yield circle
            elif need not in done:
                place[need] = len(path)
                path.append(need)
                waiting.append(iter(needs.get(need, ())))


def count_levels(needs: Needs, tasks: int) -> tuple[int, ...]:
    """Return how many tasks stand on each level, from level 0, which needs nothing.

    Args:
        needs: without a circle, and without ids of tasks that do not exist.
        tasks: number of all tasks, those without needs included.
    """
    level: dict[str, int] = {}
    for start in needs:
        stack = [start]
        while stack:
            task = stack[-1]
            if task in level:
                stack.pop()
                continue
            open_needs = [need for need in needs.get(task, ()) if need not in level]
            if open_needs:
                stack.extend(open_needs)
                continue
            stack.pop()
            level[task] = max((level[need] + 1 for need in needs.get(task, ())), default=0)
    sizes = Counter(level.values())
    sizes[0] += tasks - len(level)
    return tuple(sizes[number] for number in range(max(sizes) + 1)) if tasks else ()
