"""Which steps a node, a night and a task may take, as tables.

Invariants:
- a step that no table holds is refused with ``TransitionError``;
- from every state of a node a terminal one can be reached, and the only loop goes through ``running``, once per
  attempt, so that a limit on attempts ends every path;
- a terminal state has no way out but ``requeue_node``, which is an operator's word and never a night's.

The store repeats these guards in the ``WHERE`` of every update.
"""

from collections.abc import Mapping
from types import MappingProxyType

from pantheon.core.errors import TransitionError
from pantheon.core.records import NightState, NodeState, TaskOutcome

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

INTERRUPTED_CAUSE = "the process that ran it is gone"
"""Why a sweep ends an attempt."""

NIGHT_STEPS: Mapping[NightState, frozenset[NightState]] = MappingProxyType(
    {NightState.RUNNING: frozenset({NightState.CLOSED}), NightState.CLOSED: frozenset()}
)
"""Maps a night's state to the states that may follow."""


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


def requeue_node(state: NodeState) -> NodeState:
    """Return ``ready``, the state of a node that an operator takes up again.

    Raises:
        TransitionError: the node has not ended, or has succeeded.
    """
    if state not in REQUEUEABLE:
        allowed = ", ".join(sorted(REQUEUEABLE))
        raise TransitionError(f"a node that is {state} cannot be requeued; one that is {allowed} can")
    return NodeState.READY


def advance_night(state: NightState, to: NightState) -> NightState:
    """Return ``to`` when a night may go there from ``state``. Raises ``TransitionError``."""
    if to not in NIGHT_STEPS[state]:
        raise TransitionError(f"a night cannot go from {state} to {to}")
    return to


def conclude_once(known: TaskOutcome | None, outcome: TaskOutcome) -> TaskOutcome:
    """Return a task's outcome: the first one that was recorded stays, whatever comes later."""
    return outcome if known is None else known
