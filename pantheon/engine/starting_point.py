"""What a node starts from: the merge of its needs' commits, and its task as the night has moved it."""

from dataclasses import dataclass

from pantheon.core.dag import PlannedNode, PlannedTask
from pantheon.core.operation import TRAILER, follow_path, parse_operations
from pantheon.core.task import Task
from pantheon.engine.night_state import NightState
from pantheon.engine.services import NightContext, NodeContext
from pantheon.ports.worktree import Repository


@dataclass(frozen=True)
class StartingPoint:
    """Gathers the circumstances of attempts.

    Args:
        repository: where commits are merged.
        night: the night under way.
        tasks: task key -> the planned task.
        lines: task key -> the task's canonical line.
        state: what has ended so far.
    """

    repository: Repository
    night: NightContext
    tasks: dict[str, PlannedTask]
    lines: dict[str, str]
    state: NightState

    async def gather(self, planned: PlannedNode, attempt: int) -> NodeContext:
        """Return what an attempt of a node starts from.

        Raises:
            MergeConflictError: the commits it builds on do not merge.
            GitError: they cannot be read.
        """
        progress, flow = self.state.of(planned.task), self.tasks[planned.task].flow
        if not progress.base:
            progress.base = await self._base(planned.task)
        needed = [progress.commits[need] for need in planned.node.needs if need in progress.commits]
        start = await self.repository.merge(needed) if len(needed) > 1 else (needed or [progress.base])[0]
        return NodeContext(
            night=self.night,
            task_key=planned.task,
            task=await self._moved(planned.task, progress.base),
            flow=flow,
            node=planned.node,
            attempt=attempt,
            base_commit=progress.base,
            input_commit=start,
            upstream={
                node.id: progress.outputs[node.id] for node in flow.node if node.id in progress.outputs
            },
        )

    async def _base(self, key: str) -> str:
        """Return where a task's change starts: what the tasks before it landed, else the night's base."""
        task = self.tasks[key]
        landed = self.state.landed(dict.fromkeys((*task.needs, *task.after)))
        if len(set(landed)) > 1:
            return await self.repository.merge(landed)
        return landed[0] if landed else self.night.base_commit

    async def _moved(self, key: str, base: str) -> Task:
        """Return the task with its targets where the tasks before it have moved them."""
        task = Task.model_validate_json(self.lines[key])
        if base == self.night.base_commit or not task.targets:
            return task
        values = await self.repository.trailer_values(self.night.base_commit, base, TRAILER)
        operations = parse_operations(values)
        moved = tuple(follow_path(target, operations) for target in task.targets)
        return task if moved == task.targets else task.model_copy(update={"targets": moved})
