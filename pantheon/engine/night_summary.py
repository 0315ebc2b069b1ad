"""How a night ended, for whoever ran it."""

from collections.abc import Mapping
from dataclasses import dataclass

from pantheon.core.records import TaskRecord


@dataclass(frozen=True)
class NightSummary:
    """How a night ended."""

    night: str
    branch: str
    outcomes: Mapping[str, int]
    """Outcome -> number of tasks."""
    tasks: tuple[TaskRecord, ...]
    wall_s: float
    left_open: bool
    """Whether it was drained with work left, to be resumed."""
    server_gone: bool = False
    """Whether it was left open because there was no model server any more."""
    to_land: int = 0
    """Changes that were allowed and wait for the merge window, for which it was left open."""
