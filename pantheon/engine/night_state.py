"""What a night in this process knows of its tasks while they are under way.

Invariant: a task is held from its first node to its outcome; afterwards only the commits that others build on stay, so
that memory follows the tasks under way and not the night.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pantheon.core.dag import PlannedNode, PlannedTask
from pantheon.core.outcomes import NodeEnd, conclude_task
from pantheon.core.records import Conclusion, NodeState, TaskOutcome


@dataclass(slots=True)
class TaskProgress:
    """One task that has begun and has no outcome."""

    ends: dict[str, NodeEnd] = field(default_factory=dict)
    """Node id -> how it ended."""
    commits: dict[str, str] = field(default_factory=dict)
    """Node id -> output commit, of nodes that succeeded."""
    outputs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Node id -> output, of nodes that succeeded."""
    base: str = ""
    """Where the task's change starts, once that was asked."""


class NightState:
    """Progress of the tasks of one night.

    Args:
        tasks: task key -> the planned task.
    """

    def __init__(self, tasks: Mapping[str, PlannedTask]) -> None:
        self._tasks = tasks
        self._progress: dict[str, TaskProgress] = {}
        self._wanted = {other for task in tasks.values() for other in (*task.needs, *task.after)}
        self._landed: dict[str, tuple[str, ...]] = {}
        self._tried: dict[str, int] = {}
        self._lost: dict[str, int] = {}

    def of(self, task: str) -> TaskProgress:
        """Return a task's progress; an empty one when it has none."""
        return self._progress.setdefault(task, TaskProgress())

    def under_way(self, task: str) -> bool:
        """Tell whether a task has progress and no outcome."""
        return task in self._progress

    def landed(self, tasks: Iterable[str]) -> tuple[str, ...]:
        """Return the commits that tasks ended in; nothing for those that were not accepted."""
        return tuple(commit for task in tasks for commit in self._landed.get(task, ()))

    def tried(self, node: str) -> int:
        """Return how many attempts of a node have failed and left it open."""
        return self._tried.get(node, 0)

    def try_again(self, node: str, failed: int) -> None:
        """Note how many attempts of a node have failed."""
        self._tried[node] = failed

    def lost(self, node: str) -> int:
        """Return how often the model server broke under a node."""
        return self._lost.get(node, 0)

    def lose(self, node: str) -> None:
        """Note that the model server broke under a node once more."""
        self._lost[node] = self.lost(node) + 1

    def end(
        self,
        planned: PlannedNode,
        state: NodeState,
        cause: str,
        *,
        inherited: bool = False,
        crashed: bool = False,
        commit: str | None = None,
        output: Mapping[str, Any] | None = None,
    ) -> None:
        """Note how a node ended.

        Args:
            planned: the node.
            state: its terminal state.
            cause: why.
            inherited: whether its end only follows from another's, or from the machine's.
            crashed: whether the machine failed it, not its work: a gate that crashed has denied nothing.
            commit: its output commit.
            output: its output.
        """
        node = planned.node
        self._tried.pop(planned.key, None)
        self._lost.pop(planned.key, None)
        progress = self.of(planned.task)
        progress.ends[node.id] = NodeEnd(
            node=node.id,
            state=state,
            gate=node.gate is not None and not crashed,
            sink=node.id in self._tasks[planned.task].flow.sinks,
            cause=cause,
            inherited=inherited,
        )
        if state is NodeState.SUCCEEDED:
            progress.outputs[node.id] = output or {}
            if commit is not None:
                progress.commits[node.id] = commit

    def reopen(self, planned: PlannedNode) -> None:
        """Forget how a node ended: it is to run again."""
        self.of(planned.task).ends.pop(planned.node.id, None)
        self._tried.pop(planned.key, None)

    def conclude(self, task: str) -> Conclusion | None:
        """Return what becomes of a task once all of its nodes have ended, and let go of its progress."""
        progress = self._progress.get(task)
        flow = self._tasks[task].flow
        if progress is None or len(progress.ends) < len(flow.node):
            return None
        del self._progress[task]
        outcome, cause = conclude_task([progress.ends[node.id] for node in flow.node])
        if outcome is TaskOutcome.ACCEPTED and task in self._wanted:
            self._landed[task] = tuple(
                progress.commits[sink] for sink in flow.sinks if sink in progress.commits
            )
        return Conclusion(task=task, outcome=outcome, cause=cause)
