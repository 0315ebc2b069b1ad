"""What became of a task, from what became of its nodes."""

from collections.abc import Sequence
from dataclasses import dataclass

from pantheon.core.records import NodeState, TaskOutcome


@dataclass(frozen=True, slots=True)
class NodeEnd:
    """How one node of a task stands at the end."""

    node: str
    state: NodeState
    gate: bool = False
    """Whether the node is a gate: its failure is a denial."""
    sink: bool = False
    """Whether no other node of the flow needs it."""
    cause: str = ""
    inherited: bool = False
    """Whether its end only follows from another node's, another task's, or the machine's."""


def conclude_task(nodes: Sequence[NodeEnd]) -> tuple[TaskOutcome, str]:
    """Return a task's outcome and its cause.

    The first node that ended on its own account decides; a task none of whose nodes did was blocked by another
    task, cancelled, or never reached.
    """
    if nodes and all(node.state is NodeState.SUCCEEDED for node in nodes if node.sink):
        return TaskOutcome.ACCEPTED, ""
    for node in nodes:
        if node.inherited:
            continue
        if node.state is NodeState.FAILED:
            return (TaskOutcome.DENIED if node.gate else TaskOutcome.FAILED), f"{node.node}: {node.cause}"
        if node.state is NodeState.SKIPPED:
            return TaskOutcome.SKIPPED, node.cause
        if node.state is NodeState.CANCELLED:
            return TaskOutcome.CANCELLED, node.cause
    for node in nodes:
        if node.inherited and node.state is NodeState.CANCELLED:
            return TaskOutcome.NOT_REACHED, f"{node.node}: {node.cause}"
    for node in nodes:
        if node.inherited and node.state is NodeState.SKIPPED:
            return TaskOutcome.BLOCKED, node.cause
    return TaskOutcome.NOT_REACHED, "the night ended before it"
