"""The moving edge of a night's DAG: which nodes may start now that others have ended.

Invariants:
- a node is handed out once its last need has succeeded and the last node it comes after has ended; once, unless it
  is reopened;
- by level, no node is handed out before every node of the levels below has ended.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pantheon.core.dag import PlannedNode


class Frontier:
    """Counts what each node still waits for.

    Args:
        nodes: the plan's nodes in topological order.
        by_level: hand nodes out level by level.
    """

    def __init__(self, nodes: Sequence[PlannedNode], *, by_level: bool = False) -> None:
        self._nodes = {node.key: node for node in nodes}
        self._place = {key: place for place, key in enumerate(self._nodes)}
        self._needed: dict[str, list[str]] = {}
        self._followed: dict[str, list[str]] = {}
        self._waits: dict[str, int] = {}
        self._of_task: dict[str, list[str]] = {}
        for node in nodes:
            self._waits[node.key] = len(node.needs) + len(node.after)
            self._of_task.setdefault(node.task, []).append(node.key)
            for need in node.needs:
                self._needed.setdefault(need, []).append(node.key)
            for before in node.after:
                self._followed.setdefault(before, []).append(node.key)
        self._levels = _Levels(nodes) if by_level else None
        self._ended: dict[str, bool] = {}
        """Key -> whether it succeeded."""

    def node(self, key: str) -> PlannedNode:
        """Return a node of the plan."""
        return self._nodes[key]

    def place(self, key: str) -> int:
        """Return a node's place in the plan."""
        return self._place[key]

    def of_task(self, task: str) -> tuple[str, ...]:
        """Return the keys of a task's nodes."""
        return tuple(self._of_task.get(task, ()))

    def begin(self, ended: Mapping[str, bool]) -> tuple[PlannedNode, ...]:
        """Take up what has ended already; returns the nodes that may start.

        Args:
            ended: key -> whether it succeeded.
        """
        for key, succeeded in ended.items():
            self._ended[key] = succeeded
            for below in self._unblocked(key, succeeded=succeeded):
                self._waits[below] -= 1
            if self._levels is not None:
                self._levels.end(key)
        open_keys = [key for key, waits in self._waits.items() if waits == 0 and key not in self._ended]
        return tuple(node for key in open_keys for node in self._admit(key))

    def end(self, key: str, *, succeeded: bool) -> tuple[PlannedNode, ...]:
        """Note that a node has ended; returns the nodes that may start for it."""
        if key in self._ended:
            return ()
        self._ended[key] = succeeded
        found: list[PlannedNode] = []
        for below in self._unblocked(key, succeeded=succeeded):
            self._waits[below] -= 1
            if self._waits[below] == 0 and below not in self._ended:
                found += self._admit(below)
        if self._levels is not None:
            found += (self._nodes[one] for one in self._levels.end(key) if one not in self._ended)
        return tuple(found)

    def below(self, key: str) -> tuple[str, ...]:
        """Return the nodes that need a node, directly or not, and have not ended; in plan order."""
        found: set[str] = set()
        waiting = [key]
        while waiting:
            for one in self._needed.get(waiting.pop(), ()):
                if one not in found and one not in self._ended:
                    found.add(one)
                    waiting.append(one)
        return tuple(sorted(found, key=self._place.__getitem__))

    def reopen(self, keys: Iterable[str]) -> tuple[PlannedNode, ...]:
        """Take nodes back that have ended without success; returns those of them that may start at once."""
        again = [key for key in keys if self._ended.get(key) is False]
        for key in again:
            del self._ended[key]
            for below in self._followed.get(key, ()):
                self._waits[below] += 1
            if self._levels is not None:
                self._levels.reopen(key)
        return tuple(self._nodes[key] for key in again if self._waits[key] == 0)

    def _unblocked(self, key: str, *, succeeded: bool) -> Iterator[str]:
        """Yield what waits for a node: for its end, and when it succeeded for its success."""
        yield from self._followed.get(key, ())
        if succeeded:
            yield from self._needed.get(key, ())

    def _admit(self, key: str) -> tuple[PlannedNode, ...]:
        if self._levels is not None and not self._levels.admits(key):
            return ()
        return (self._nodes[key],)


class _Levels:
    """A barrier between the levels of a plan."""

    def __init__(self, nodes: Sequence[PlannedNode]) -> None:
        self._level = {node.key: node.level for node in nodes}
        self._open: dict[int, int] = {}
        for node in nodes:
            self._open[node.level] = self._open.get(node.level, 0) + 1
        self._now = 0
        self._parked: dict[int, list[str]] = {}

    def admits(self, key: str) -> bool:
        """Tell whether a node's level has been reached; remember the node when it has not."""
        if self._level[key] <= self._now:
            return True
        self._parked.setdefault(self._level[key], []).append(key)
        return False

    def end(self, key: str) -> list[str]:
        """Note an end; returns the nodes that waited for the level this opens."""
        self._open[self._level[key]] -= 1
        found: list[str] = []
        while self._now in self._open and self._open[self._now] == 0:
            self._now += 1
            found += self._parked.pop(self._now, [])
        return found

    def reopen(self, key: str) -> None:
        """Note that a node is open again; its level has been reached already and stays so."""
        self._open[self._level[key]] += 1
