"""What the scheduler and those who run its nodes say to each other."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pantheon.core.dag import PlannedNode
from pantheon.core.records import NodeState


@dataclass(frozen=True, slots=True)
class NodeEnded:
    """How a node ended."""

    state: NodeState
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """A node that is to be started again."""

    after_s: float
    """Seconds until it is ready."""


Release = Callable[[], None]
"""Called by a node once its work is done and only its record is left; calling it twice is fine."""
RunNode = Callable[[PlannedNode, Release], Awaitable[NodeEnded | Again]]
EndNodes = Callable[[NodeState, str, tuple[str, ...]], Awaitable[None]]
Sleep = Callable[[float], Awaitable[None]]
