"""Which ready node starts next: a pure decision, kept in heaps so that it costs the same with ten and with 100,000.

Order among nodes that fit the free slots: the task's priority first; then tasks that have begun (what they left in the
server's prefix cache is still warm, and finishing is worth more than starting); then the package that was served
least; then the longest remaining path; then queue order.

Nodes whose prompts begin alike meet: among those of one priority that are begun, or are not, one that shares opening
and task with the node that asked the model last goes before the most urgent, and else one that shares its opening.

Invariants:
- of any ``MAX_TOGETHER`` + 1 starts of nodes that ask the model, one is the most urgent of those that fit;
- no slot is given twice, and a node that fits never waits, but for the next point;
- a node that needs more slots than are free is overtaken by at most ``MAX_OVERTAKES`` less urgent ones that take
  what it waits for; after that they leave it to it.

Source: list scheduling with backfilling and a bound on it; packages take turns by work served (fair queueing); a
bounded preference for what is warm, as in affinity scheduling.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MAX_OVERTAKES = 16
"""How many less urgent nodes may take slots that the most urgent waiting node lacks."""

MAX_TOGETHER = 8
"""How many starts in a row may go to nodes that share a prefix with the last one, over more urgent ones."""

Resources = tuple[tuple[str, int], ...]
"""Resource and cost, sorted by resource."""
Key = tuple[int, int, float, float, int]
_Entry = tuple[Key, str, Resources]
"""A ready node as it competes: its urgency, its key, and what it needs."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A ready node."""

    key: str
    task: str
    package: str = ""
    priority: int = 0
    rank: float = 0.0
    """Seconds of work on the longest path it heads."""
    order: int = 0
    """Place in the plan; no two are equal."""
    work_s: float = 1.0
    """Its own expected duration, which is what its package is served."""
    resources: Resources = ()
    """Slots it needs."""
    warms: bool = False
    """Whether it asks the model, so that its start makes its task a begun one."""
    lands: bool = False
    """Whether it is a merge."""
    opening: str = ""
    """What its prompts begin with; nodes with the same one share a prefix. Empty where it asks no model."""


@dataclass(slots=True)
class _Lane:
    """Ready nodes that need the same slots and begin their prompts alike."""

    begun: list[tuple[Key, str]] = field(default_factory=list)
    packages: dict[str, list[tuple[tuple[int, float, int], str]]] = field(default_factory=dict)
    turns: list[tuple[Key, str]] = field(default_factory=list)
    """Heads of the packages, each under the key it had when it was entered."""
    entered: dict[str, Key] = field(default_factory=dict)
    """Package -> the one entry in ``turns`` that counts."""


class ReadyQueue:
    """Nodes whose needs are met, and the slots they compete for.

    Args:
        slots: resource -> slots; a resource that is not named is unlimited.
    """

    def __init__(self, slots: Mapping[str, int]) -> None:
        self._slots = dict(slots)
        self._free = dict(slots)
        self._waiting: dict[str, Candidate] = {}
        self._of_task: dict[str, set[str]] = {}
        self._begun: set[str] = set()
        self._served: dict[str, float] = {}
        self._lanes: dict[tuple[Resources, str], _Lane] = {}
        self._blocked = ("", 0)
        self._last = ("", "")
        """Opening and task of the node that asked the model last."""
        self._together = 0
        """Starts in a row that shared a prefix and were not the most urgent."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: str) -> bool:
        return key in self._waiting

    def add(self, candidate: Candidate) -> None:
        """Add a ready node."""
        self._waiting[candidate.key] = candidate
        self._of_task.setdefault(candidate.task, set()).add(candidate.key)
        if candidate.package not in self._served:
            # A package that comes late starts level with the least served, not with a claim on the past.
            self._served[candidate.package] = min(self._served.values(), default=0.0)
        self._enter(candidate)

    def remove(self, keys: Iterable[str]) -> tuple[Candidate, ...]:
        """Take nodes out unstarted; returns those that were in."""
        return tuple(self._forget(key) for key in keys if key in self._waiting)

    def of_task(self, task: str) -> tuple[str, ...]:
        """Return the keys of a task's ready nodes."""
        return tuple(self._of_task.get(task, ()))

    def warming(self) -> tuple[str, ...]:
        """Return the keys of the ready nodes that ask the model."""
        return tuple(key for key, candidate in self._waiting.items() if candidate.warms)

    def take(self) -> Candidate | None:
        """Return the node to start now, with its slots taken; None when nothing may start."""
        best: _Entry | None = None
        urgent: _Entry | None = None
        alike: _Entry | None = None
        kept = self._kept()
        for (resources, opening), lane in self._lanes.items():
            head = self._head(lane)
            if head is None:
                continue
            entry = (*head, resources)
            if urgent is None or entry < urgent:
                urgent = entry
            if not self._may_take(entry, kept):
                continue
            if best is None or entry < best:
                best = entry
            if opening and opening == self._last[0] and (alike is None or entry < alike):
                alike = entry
        if best is None or urgent is None:
            return None
        met = self._meet(best, alike, kept)
        self._note_overtaking(met, urgent)
        chosen = self._forget(met[1])
        self._start(chosen)
        return chosen

    def give_back(self, resources: Resources) -> None:
        """Free the slots of a node."""
        for name, cost in resources:
            if name in self._free:
                self._free[name] += cost

    def resize(self, resource: str, slots: int) -> None:
        """Change how many slots a resource has; one that shrinks takes back what is free, then what is given back."""
        self._free[resource] = self._free.get(resource, 0) + slots - self._slots.get(resource, 0)
        self._slots[resource] = slots

    def _meet(self, best: _Entry, alike: _Entry | None, kept: Resources) -> _Entry:
        """Return who goes in the place of the most urgent node, for what it shares with the last one."""
        if not self._waiting[best[1]].opening:
            return best
        met = best
        if self._together < MAX_TOGETHER:
            sharing = (self._of_last_task(kept), alike)
            met = next((one for one in sharing if one is not None and one[0][:2] == best[0][:2]), best)
        self._together = 0 if met[1] == best[1] else self._together + 1
        return met

    def _of_last_task(self, kept: Resources) -> _Entry | None:
        """Return the most urgent node of the last task that shares its opening, and may start."""
        opening, task = self._last
        if task not in self._begun:
            return None
        found = [self._waiting[key] for key in self.of_task(task) if self._waiting[key].opening == opening]
        entries = [(_begun_key(one), one.key, one.resources) for one in found]
        return min((entry for entry in entries if self._may_take(entry, kept)), default=None)

    def _start(self, chosen: Candidate) -> None:
        for name, cost in chosen.resources:
            if name in self._free:
                self._free[name] -= cost
        self._served[chosen.package] += chosen.work_s
        if chosen.opening:
            self._last = (chosen.opening, chosen.task)
        if chosen.warms and chosen.task not in self._begun:
            self._begun.add(chosen.task)
            for key in self.of_task(chosen.task):
                self._enter(self._waiting[key])

    def _may_take(self, entry: _Entry, kept: Resources) -> bool:
        """Whether a node fits, and takes nothing that is kept for another one."""
        return self._fits(entry[2]) and (
            entry[1] == self._blocked[0] or not (kept and self._takes(entry[2], kept))
        )

    def _fits(self, resources: Resources) -> bool:
        return all(self._free.get(name, cost) >= cost for name, cost in resources)

    def _note_overtaking(self, best: _Entry, urgent: _Entry) -> None:
        if best[1] == urgent[1]:
            self._blocked = ("", 0)
            return
        key, count = self._blocked
        if key != urgent[1]:
            key, count = urgent[1], 0
        self._blocked = (key, count + self._takes(best[2], urgent[2]))

    def _kept(self) -> Resources:
        """Return the slots that are kept for a node that was overtaken often enough."""
        key, count = self._blocked
        if count < MAX_OVERTAKES or key not in self._waiting:
            return ()
        return self._waiting[key].resources

    def _takes(self, resources: Resources, wanted: Resources) -> bool:
        """Whether a start would take slots that the other then lacks, those free for it at the moment included."""
        costs = dict(resources)
        return any(
            name in self._free and name in costs and self._free[name] - costs[name] < cost
            for name, cost in wanted
        )

    def _enter(self, candidate: Candidate) -> None:
        lane = self._lanes.setdefault((candidate.resources, candidate.opening), _Lane())
        if candidate.task in self._begun:
            heapq.heappush(lane.begun, (_begun_key(candidate), candidate.key))
            return
        heap = lane.packages.setdefault(candidate.package, [])
        heapq.heappush(heap, ((-candidate.priority, -candidate.rank, candidate.order), candidate.key))
        if heap[0][1] == candidate.key:
            self._enter_turn(lane, candidate.package)

    def _enter_turn(self, lane: _Lane, package: str) -> None:
        (priority, rank, order), _ = lane.packages[package][0]
        key = (priority, 1, self._served[package], rank, order)
        lane.entered[package] = key
        heapq.heappush(lane.turns, (key, package))

    def _head(self, lane: _Lane) -> tuple[Key, str] | None:
        """Return the most urgent node of a lane under its present key."""
        while lane.begun and lane.begun[0][1] not in self._waiting:
            heapq.heappop(lane.begun)
        turn = self._turn(lane)
        if lane.begun and (turn is None or lane.begun[0] < turn):
            return lane.begun[0]
        return turn

    def _turn(self, lane: _Lane) -> tuple[Key, str] | None:
        while lane.turns:
            key, package = lane.turns[0]
            if lane.entered.get(package) != key:
                heapq.heappop(lane.turns)
                continue
            heap = lane.packages[package]
            while heap and self._left(heap[0][1]):
                heapq.heappop(heap)
            if not heap:
                heapq.heappop(lane.turns)
                del lane.packages[package], lane.entered[package]
                continue
            (priority, rank, order), node = heap[0]
            if key == (priority, 1, self._served[package], rank, order):
                return key, node
            heapq.heappop(lane.turns)
            self._enter_turn(lane, package)
        return None

    def _left(self, key: str) -> bool:
        """Whether a node is no longer among those of tasks that have not begun."""
        return key not in self._waiting or self._waiting[key].task in self._begun

    def _forget(self, key: str) -> Candidate:
        candidate = self._waiting.pop(key)
        keys = self._of_task[candidate.task]
        keys.discard(key)
        if not keys:
            del self._of_task[candidate.task]
        return candidate


def _begun_key(candidate: Candidate) -> Key:
    """Return the urgency of a node whose task has begun."""
    return (-candidate.priority, 0, 0.0, -candidate.rank, candidate.order)
