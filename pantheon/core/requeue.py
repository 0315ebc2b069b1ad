"""Decides what of a night is taken up again when an operator requeues a task.

Invariants:
- nothing that succeeded is touched;
- nothing is taken up that could never start, because something else that it needs has ended without success;
- what was skipped or blocked because of the task goes along, in other tasks too.
"""

from collections.abc import Mapping, Sequence

from pantheon.core import lifecycle
from pantheon.core.errors import TransitionError
from pantheon.core.model import Frozen
from pantheon.core.records import NodeRecord, NodeState, TaskOutcome


class RequeuePlan(Frozen):
    """What is taken up again."""

    nodes: Mapping[str, NodeState]
    """Node key -> the state it goes to, in the night's order."""
    tasks: tuple[str, ...]
    """Tasks that lose their outcome; the one that was named comes first."""


def plan_requeue(
    task: str,
    outcomes: Mapping[str, TaskOutcome | None],
    nodes: Sequence[NodeRecord],
    *,
    running: bool,
    from_node: str | None = None,
) -> RequeuePlan:
    """Decide what of a night goes back.

    Args:
        task: key of the task.
        outcomes: task key -> outcome, of the whole night.
        nodes: every node of the night.
        running: whether the night still runs; what goes back in a closed one begins anew in the next.
        from_node: id of the flow's node to begin at, or its key; None is everything of the task that did not succeed.

    Raises:
        TransitionError: the task is not of the night, is under way or has succeeded; the node is unknown or has
            succeeded; or nothing of it could start.
    """
    if task not in outcomes:
        raise TransitionError(f"task {task} is not one of the night")
    lifecycle.require_unsuccessful(task, outcomes[task])
    if from_node is not None and not running:
        raise TransitionError(
            f"the night of task {task} is closed; the next one works it from its beginning",
            hint="requeue it without a node",
        )
    known = {node.key: node for node in nodes}
    first = _first(task, nodes, from_node)
    chosen = _startable(_below(first, nodes, outcomes, task), known)
    if first and not first & chosen:
        blockers = sorted({need for key in first for need in known[key].needs if _lost(known, need)} - first)
        raise TransitionError(
            f"task {task} cannot start: {', '.join(blockers[:3])} ended without success",
            hint="requeue the task of that node; what waits for it goes along",
        )
    if running and not first and not any(n.task == task and n.state in lifecycle.OPEN for n in nodes):
        raise TransitionError(
            f"no node of task {task} can run again in this night", hint="requeue it when the night has closed"
        )
    moved = {
        node.key: lifecycle.requeue_node(
            node.state, needs_met=all(_succeeded(known, need) for need in node.needs)
        )
        for node in nodes
        if node.key in chosen
    }
    others = dict.fromkeys(known[key].task for key in moved if known[key].task != task)
    return RequeuePlan(nodes=moved, tasks=(task, *others))


def _first(task: str, nodes: Sequence[NodeRecord], from_node: str | None) -> set[str]:
    own = [node for node in nodes if node.task == task]
    if from_node is None:
        return {node.key for node in own if node.state in lifecycle.REQUEUEABLE}
    named = [node for node in own if from_node in (node.node, node.key)]
    if not named:
        ids = ", ".join(node.node for node in own) or "none"
        raise TransitionError(f"task {task} has no node {from_node}", hint=f"its nodes are: {ids}")
    lifecycle.requeue_node(named[0].state, needs_met=False)
    return {named[0].key}


def _below(
    first: set[str], nodes: Sequence[NodeRecord], outcomes: Mapping[str, TaskOutcome | None], task: str
) -> set[str]:
    """Return ``first`` and everything after it that ended without success."""
    after: dict[str, list[NodeRecord]] = {}
    for node in nodes:
        for need in node.needs:
            after.setdefault(need, []).append(node)
    found, left = set(first), list(first)
    while left:
        for node in after.get(left.pop(), ()):
            outcome = outcomes.get(node.task)
            stays = node.task != task and outcome is not None and outcome not in lifecycle.UNSUCCESSFUL
            if node.state in lifecycle.REQUEUEABLE and node.key not in found and not stays:
                found.add(node.key)
                left.append(node.key)
    return found


def _startable(chosen: set[str], known: Mapping[str, NodeRecord]) -> set[str]:
    """Drop what needs something that ended without success and does not go back itself."""
    kept = set(chosen)
    while dead := {
        key for key in kept if any(_lost(known, need) and need not in kept for need in known[key].needs)
    }:
        kept -= dead
    return kept


def _lost(known: Mapping[str, NodeRecord], key: str) -> bool:
    return key in known and known[key].state in lifecycle.REQUEUEABLE


def _succeeded(known: Mapping[str, NodeRecord], key: str) -> bool:
    return key in known and known[key].state is NodeState.SUCCEEDED
