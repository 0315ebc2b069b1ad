"""Which of the ready nodes to start next: a pure decision over a snapshot.

Order among nodes that fit the free slots: the task's priority first; then tasks that have begun (what they left
in the server's prefix cache is still warm, and finishing is worth more than starting); then the longest
remaining path; then queue order.

"""

from collections.abc import Mapping, Sequence

from pydantic import Field

from pantheon.core.model import Frozen


class Candidate(Frozen):
    """A ready node."""

    key: str
    task: str
    priority: int = 0
    rank: float = Field(ge=0)
    """Seconds of work on the longest path it heads."""
    order: int = Field(ge=0)
    """Place in the plan."""
    resources: Mapping[str, int] = Field(default_factory=dict)
    """Slots it needs."""
    begun: bool = False
    """Whether an agent of its task has run already."""


def plan_dispatch(ready: Sequence[Candidate], free: Mapping[str, int]) -> tuple[str, ...]:
    """Return the keys of the nodes to start now, in order.

    Args:
        ready: nodes whose needs are met.
        free: resource -> free slots; a resource that is not named is unlimited.
    """
    left = dict(free)
    chosen = []
    for candidate in sorted(ready, key=_urgency):
        if all(left.get(name, cost) >= cost for name, cost in candidate.resources.items()):
            for name, cost in candidate.resources.items():
                if name in left:
                    left[name] -= cost
            chosen.append(candidate.key)
    return tuple(chosen)


def _urgency(candidate: Candidate) -> tuple[int, bool, float, int]:
    return (-candidate.priority, not candidate.begun, -candidate.rank, candidate.order)
