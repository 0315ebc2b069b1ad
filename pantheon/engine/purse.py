"""Whether a node may still start: the budgets of its package, its task and its agent, and the end of the window."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pantheon.core.budget import Accounts, Scopes, Usage
from pantheon.core.dag import PlannedNode, PlannedTask
from pantheon.core.policy import NightBudget
from pantheon.core.records import AttemptRecord
from pantheon.core.spending import NOT_STARTED
from pantheon.ports.clock import Clock


@dataclass
class Purse:
    """One night's budgets below the night itself.

    Args:
        budget: the ceilings.
        tasks: task key -> the planned task.
        clock: for how long the window is still open.
        ends_at: when everything has to be finished; None when there is no such time.
    """

    budget: NightBudget
    tasks: Mapping[str, PlannedTask]
    clock: Clock
    ends_at: datetime | None
    _accounts: Accounts = field(init=False)

    def __post_init__(self) -> None:
        budget = self.budget
        self._accounts = Accounts(package=budget.package, task=budget.task, agent=budget.agent)

    def restore(self, attempts: Iterable[AttemptRecord], node: Callable[[str], PlannedNode | None]) -> None:
        """Charge what earlier processes of the night have used.

        Args:
            attempts: every attempt of the night.
            node: finds a node of the plan by its key; None for one that is no part of it.
        """
        for attempt in attempts:
            planned = node(attempt.node)
            if attempt.result is not None and planned is not None:
                self.charge(planned, Usage.of_metrics(attempt.result.metrics))

    def charge(self, planned: PlannedNode, used: Usage) -> None:
        """Add what an attempt of a node has used."""
        self._accounts.charge(self._scopes(planned), used)

    def admit(self, planned: PlannedNode) -> str:
        """Return why a node may not start; empty when it may.

        Nothing starts that is not expected to be finished, with what follows it in its task, when the window ends. A
        merge and a decision are never kept back for that: what was paid for is landed.
        """
        if why := self._accounts.why_barred(self._scopes(planned)):
            return f"{NOT_STARTED}{why}"
        if self.ends_at is None or planned.node.gate is not None:
            return ""
        left_s = (self.ends_at - self.clock.now()).total_seconds()
        if planned.rest_s <= left_s:
            return ""
        return (
            f"{NOT_STARTED}it would not be finished when the window ends: "
            f"{planned.rest_s:.0f} s expected, {max(left_s, 0.0):.0f} s left"
        )

    def _scopes(self, planned: PlannedNode) -> Scopes:
        return Scopes(
            task=planned.task, package=self.tasks[planned.task].package, agent=planned.node.agent or ""
        )
