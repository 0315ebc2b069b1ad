"""Where ready nodes wait for their start: for slots, for the operator's word, for the model server, or for their hours.

Invariant: a node is in one place at a time: in the queue for slots, held with its task, held for the server, or kept
until the clock lets it start.
"""

from collections.abc import Callable, Iterable, Mapping

from pantheon.core.dag import PlannedNode, PlannedTask, expected_seconds
from pantheon.core.dispatch import Candidate, ReadyQueue, Resources
from pantheon.core.orders import Standing


class ReadyRoom:
    """Ready nodes, and what keeps them from starting.

    Args:
        slots: resource -> slots; resources that are not named are unlimited.
        tasks: every task key of the night.
        may_start: tells whether the clock lets a node start now.
    """

    def __init__(
        self,
        slots: Mapping[str, int],
        tasks: Mapping[str, PlannedTask],
        may_start: Callable[[Candidate], bool] = lambda _: True,
    ) -> None:
        self.standing = Standing()
        """Where the operator's orders leave the night."""
        self._tasks = tasks
        self._queue = ReadyQueue(slots)
        self._held: dict[str, Candidate] = {}
        self._for_server: dict[str, Candidate] = {}
        self._for_hours: dict[str, Candidate] = {}
        self._may_start = may_start
        self._server_lost = False

    @property
    def waits_for_a_word(self) -> bool:
        """Whether something is here that starts once the night is resumed or the server is back."""
        return (self.standing.paused and len(self._queue) > 0) or bool(self._for_server)

    def add_node(self, node: PlannedNode, place: int) -> None:
        """Add a node whose needs are met.

        Args:
            node: the node.
            place: its place in the plan.
        """
        task = self._tasks[node.task]
        self._add(
            Candidate(
                key=node.key,
                task=node.task,
                package=task.package,
                priority=task.priority,
                rank=node.rank,
                order=place,
                work_s=expected_seconds(node.node),
                resources=tuple(sorted(node.node.resources.items())),
                warms=node.node.agent is not None,
                lands=node.node.gate == "merge",
                opening=node.opening,
            )
        )

    def _add(self, candidate: Candidate) -> None:
        if self.standing.hold_cause(candidate.task):
            self._held[candidate.key] = candidate
        elif self._server_lost and candidate.warms:
            self._for_server[candidate.key] = candidate
        elif not self._may_start(candidate):
            self._for_hours[candidate.key] = candidate
        else:
            self._queue.add(candidate)

    def take(self) -> Candidate | None:
        """Return the node to start now, with its slots taken; None when nothing may start."""
        if self.standing.paused:
            return None
        while (candidate := self._queue.take()) is not None and not self._may_start(candidate):
            # Its hours ended while it waited for slots.
            self._queue.give_back(candidate.resources)
            self._for_hours[candidate.key] = candidate
        return candidate

    def look_again(self) -> None:
        """Let go of what the clock lets start by now."""
        self._let_go(self._for_hours)

    def give_back(self, resources: Resources) -> None:
        """Free the slots of a node."""
        self._queue.give_back(resources)

    def resize(self, resource: str, slots: int) -> None:
        """Change how many slots a resource has; what holds one keeps it."""
        self._queue.resize(resource, slots)

    def remove(self, keys: Iterable[str]) -> None:
        """Take nodes out unstarted, wherever they wait."""
        for key in keys:
            self._held.pop(key, None)
            self._for_server.pop(key, None)
            self._for_hours.pop(key, None)
            self._queue.remove((key,))

    def follow(self, standing: Standing) -> None:
        """Take over the operator's orders: hold what is held, and let go of what is released."""
        self.standing = standing
        self._let_go(self._held)
        if standing.holds_any:
            for task in self._tasks:
                if standing.hold_cause(task):
                    self._set_aside(self._queue.of_task(task))

    def hold_for_server(self, lost: bool) -> None:
        """Keep nodes that ask the model from starting while its server is lost."""
        self._server_lost = lost
        if lost:
            self._set_aside(self._queue.warming())
        else:
            self._let_go(self._for_server)

    def _set_aside(self, keys: Iterable[str]) -> None:
        for candidate in self._queue.remove(keys):
            self._add(candidate)

    def _let_go(self, kept: dict[str, Candidate]) -> None:
        waiting = list(kept.values())
        kept.clear()
        for candidate in waiting:
            self._add(candidate)
