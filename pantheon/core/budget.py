"""What a night may use, as a tree: the night, each package in it, each task, each agent.

Invariants:
- a ceiling that is reached bars what has not started; what runs is finished, so that a ceiling is passed by at most the
  limits of what was under way;
- use is only ever added, and in any order comes to the same;
- a scope without ceilings is never barred.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import Field

from pantheon.core.model import Frozen

UNITS = {"steps": "steps", "output_tokens": "output tokens", "wall_s": "s", "server_s": "s of the server"}
"""What is counted -> how people call it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What attempts have used."""

    steps: int = 0
    """Steps of agents' loops."""
    output_tokens: int = 0
    wall_s: float = 0.0
    """Seconds that attempts took, added up."""
    server_s: float = 0.0
    """Seconds that calls to model servers took, added up."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            steps=self.steps + other.steps,
            output_tokens=self.output_tokens + other.output_tokens,
            wall_s=self.wall_s + other.wall_s,
            server_s=self.server_s + other.server_s,
        )

    @classmethod
    def of_metrics(cls, metrics: Mapping[str, object]) -> Self:
        """Return what an attempt used, from its recorded metrics; what they lack is nothing."""
        return cls(
            steps=int(_number(metrics.get("steps"))),
            output_tokens=int(_number(metrics.get("completion_tokens"))),
            wall_s=_number(metrics.get("wall_s")),
            server_s=_number(metrics.get("model_s")),
        )


NO_USE = Usage()


class Ceilings(Frozen):
    """Ceilings of one scope; None is no ceiling."""

    steps: int | None = Field(default=None, ge=1)
    output_tokens: int | None = Field(default=None, ge=1)
    wall_s: int | None = Field(default=None, ge=1)
    """Seconds that its attempts may take, added up."""
    server_s: int | None = Field(default=None, ge=1)
    """Seconds that its calls to model servers may take, added up."""

    def reached(self, used: Usage) -> str:
        """Return the first ceiling that is reached, for people; empty when none is."""
        for name, unit in UNITS.items():
            ceiling, value = getattr(self, name), getattr(used, name)
            if ceiling is not None and value >= ceiling:
                return f"{value:,.0f} of {ceiling:,} {unit}"
        return ""


@dataclass(frozen=True, slots=True)
class Scopes:
    """Whom an attempt belongs to."""

    task: str
    package: str = ""
    agent: str = ""
    """Name of the agent; empty where none is at work."""


class Accounts:
    """What each scope of a night has used, and whether it may go on.

    Args:
        package: package -> its ceilings.
        task: ceilings of each task.
        agent: agent -> its ceilings.
    """

    def __init__(
        self, *, package: Mapping[str, Ceilings], task: Ceilings, agent: Mapping[str, Ceilings]
    ) -> None:
        self._ceilings = {"package": dict(package), "agent": dict(agent)}
        self._task = None if task == Ceilings() else task
        self._used: dict[tuple[str, str], Usage] = {}

    def charge(self, scopes: Scopes, used: Usage) -> None:
        """Add what an attempt used to everyone it belongs to."""
        for key in _keys(scopes):
            if self._ceiling(*key) is not None:
                self._used[key] = self._used.get(key, NO_USE) + used

    def _ceiling(self, kind: str, name: str) -> Ceilings | None:
        return self._task if kind == "task" else self._ceilings[kind].get(name)

    def why_barred(self, scopes: Scopes) -> str:
        """Return why another attempt may not start; empty when it may."""
        for kind, name in _keys(scopes):
            ceilings = self._ceiling(kind, name)
            reached = "" if ceilings is None else ceilings.reached(self._used.get((kind, name), NO_USE))
            if reached:
                return f"the budget of {kind} {name} is spent: {reached}"
        return ""


def spent_own_budget(task: str, cause: str) -> bool:
    """Tell whether a cause says that a task has reached the ceilings of its own.

    Args:
        task: key of the task.
        cause: why it ended, as ``Accounts.why_barred`` says it, with what stands before.
    """
    return f"the budget of task {task} is spent: " in cause


def _keys(scopes: Scopes) -> list[tuple[str, str]]:
    found = [("package", scopes.package), ("task", scopes.task), ("agent", scopes.agent)]
    return [(kind, name) for kind, name in found if name]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
