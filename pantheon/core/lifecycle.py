"""Which steps a node may take, as a table, and what an operator may take back.

Invariants:
- a step that the table does not hold is refused with ``TransitionError``;
- from every state of a node a terminal one can be reached, and the only loop goes through ``running``, once per
  attempt, so that a limit on attempts ends every path;
- a terminal state has no way out but ``requeue_node``, which is an operator's word and never a night's.

The store repeats these guards in the ``WHERE`` of every update.
"""

from collections.abc import Mapping
from types import MappingProxyType

from pantheon.core.errors import TransitionError
from pantheon.core.records import NodeState, TaskOutcome

NODE_STEPS: Mapping[NodeState, frozenset[NodeState]] = MappingProxyType(
    {
        # A claim is the word that a node's needs are met: between two processes it may come at once.
        NodeState.WAITING: frozenset(
            {NodeState.READY, NodeState.RUNNING, NodeState.SKIPPED, NodeState.CANCELLED}
        ),
        NodeState.READY: frozenset({NodeState.RUNNING, NodeState.SKIPPED, NodeState.CANCELLED}),
        NodeState.RUNNING: frozenset(
            {
                NodeState.SUCCEEDED,
                NodeState.FAILED,
                NodeState.CANCELLED,
                NodeState.SKIPPED,
                NodeState.READY,
            }
        ),
        NodeState.SUCCEEDED: frozenset(),
        NodeState.FAILED: frozenset(),
        NodeState.CANCELLED: frozenset(),
        NodeState.SKIPPED: frozenset(),
    }
)
"""Maps a node's state to the states that may follow."""

TERMINAL = frozenset(state for state, after in NODE_STEPS.items() if not after)
"""Node states that end a path."""

OPEN = frozenset(NODE_STEPS) - TERMINAL
"""Node states that still want something to happen."""

INITIAL = frozenset({NodeState.WAITING, NodeState.READY})
"""States a node may be added in."""

ENDS_WITHOUT_ATTEMPT = frozenset({NodeState.SKIPPED, NodeState.CANCELLED})
"""Terminal states that a node may reach without ever running."""

REQUEUEABLE = frozenset({NodeState.FAILED, NodeState.CANCELLED, NodeState.SKIPPED})
"""Terminal states that an operator may take back; what succeeded stays."""

CLAIMABLE = frozenset(state for state, after in NODE_STEPS.items() if NodeState.RUNNING in after)
"""States that a claim takes a node from."""

UNSUCCESSFUL = frozenset(TaskOutcome) - {TaskOutcome.ACCEPTED, TaskOutcome.SKIPPED}
"""Outcomes that an operator may take back."""

INTERRUPTED_CAUSE = "the process that ran it is gone"
"""Why a sweep ends an attempt."""


def advance(state: NodeState, to: NodeState) -> NodeState:
    """Return ``to`` when a node may go there from ``state``.

    Raises:
        TransitionError: the table has no such step.
    """
    if to not in NODE_STEPS[state]:
        allowed = ", ".join(sorted(NODE_STEPS[state])) or "nowhere"
        raise TransitionError(f"a node cannot go from {state} to {to}; from {state} it goes to {allowed}")
    return to


def sources(to: NodeState) -> frozenset[NodeState]:
    """Return the states that a node may come from into ``to``."""
    return frozenset(state for state, after in NODE_STEPS.items() if to in after)


def requeue_node(state: NodeState, *, needs_met: bool) -> NodeState:
    """Return the state of a node that an operator takes up again.

    Args:
        state: where it stands.
        needs_met: whether everything it needs has succeeded.

    Raises:
        TransitionError: the node has not ended, or has succeeded.
    """
    if state not in REQUEUEABLE:
        allowed = ", ".join(sorted(REQUEUEABLE))
        raise TransitionError(f"a node that is {state} cannot be requeued; one that is {allowed} can")
    return NodeState.READY if needs_met else NodeState.WAITING


def require_unsuccessful(task: str, outcome: TaskOutcome | None) -> None:
    """Refuse to requeue a task that is under way or has succeeded. Raises ``TransitionError``."""
    if outcome is None:
        raise TransitionError(f"task {task} has not ended", hint="cancel it first, or wait")
    if outcome not in UNSUCCESSFUL:
        raise TransitionError(
            f"task {task} is {outcome}; what succeeded is never done again",
            hint="enqueue the line again with another --label",
        )
