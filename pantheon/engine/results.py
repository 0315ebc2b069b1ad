"""What executing a node came to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pantheon.core.budget import NO_USE, Usage
from pantheon.core.records import AttemptOutcome, NodeState
from pantheon.core.retry import FailureKind, Retry


@dataclass(frozen=True)
class NodeResult:
    """What executing a node came to."""

    outcome: AttemptOutcome
    state: NodeState
    """Succeeded, failed, or skipped when there was nothing to do."""
    cause: str = ""
    commit: str | None = None
    """The node's output commit."""
    output: Mapping[str, Any] | None = None
    ended: str = ""
    """For agents: the loop's outcome."""
    agent: str | None = None
    """``name@version`` of the agent."""
    used: Usage = NO_USE
    """What it cost; filled in by the runner."""
    kind: FailureKind = FailureKind.NEVER
    """For failures: how far another attempt can help."""
    retry: Retry | None = None
    """The attempt that follows; filled in by the runner."""


def succeeded(commit: str, output: Mapping[str, Any] | None = None, **more: Any) -> NodeResult:
    """Return a success."""
    return NodeResult(
        outcome=AttemptOutcome.SUCCEEDED, state=NodeState.SUCCEEDED, commit=commit, output=output, **more
    )


def failed(cause: str, output: Mapping[str, Any] | None = None, **more: Any) -> NodeResult:
    """Return a failure of the work."""
    return NodeResult(
        outcome=AttemptOutcome.FAILED, state=NodeState.FAILED, cause=cause, output=output, **more
    )
