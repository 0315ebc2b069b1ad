"""What may halt a night: the operator's orders, its budget, the end of its window, and its own process.

The first reason to stop is the one that counts: a drain, or a model server that is gone for good, leaves the night open
for the next process; a spent budget or the end of the window closes it with work left.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pantheon.core.budget import Usage
from pantheon.core.orders import Order, Standing, Verb, fold_orders
from pantheon.core.policy import NightBudget
from pantheon.core.spending import Spent
from pantheon.engine.scheduler import Scheduler
from pantheon.ports.clock import Clock
from pantheon.ports.store import Store

POLL_S = 0.5
"""Seconds between two looks at the operator's orders and at the clock."""


class Halt(StrEnum):
    """Why a night starts nothing more."""

    DRAINED = "drained"
    BUDGET = "budget"
    WINDOW = "window"
    CANCELLED = "cancelled"
    SERVER = "server"
    """There will be no model server any more."""

    @property
    def leaves_open(self) -> bool:
        """Whether the next process goes on with the night."""
        return self in (Halt.DRAINED, Halt.SERVER)


@dataclass
class NightControl:
    """Watches what may halt a night and tells the scheduler.

    Args:
        store: where orders are.
        clock: for waiting and for the window.
        night: id of the night.
        budget: the night's ceilings.
        spent: what earlier processes of the night have used of it.
        ends_at: when nothing new starts any more; None for never.
        stopping: set by the process to drain the night.
        scheduler: what is told.
        reopen: takes up tasks again that the operator has requeued.
    """

    store: Store
    clock: Clock
    night: str
    budget: NightBudget
    spent: Spent
    ends_at: datetime | None
    stopping: asyncio.Event
    scheduler: Scheduler
    reopen: Callable[[Collection[str]], Awaitable[None]]
    halt: Halt | None = None
    _used: Usage = field(init=False)
    _began: float = field(init=False)
    _orders: list[Order] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._used = self.spent.used
        self._began = self.clock.monotonic()

    def spend(self, used: Usage) -> None:
        """Count what an attempt cost; once the night's budget is spent nothing new starts."""
        self._used += used
        if self.budget.reached(self._used, self._worked_s()):
            self.stop(Halt.BUDGET)

    def stop(self, why: Halt) -> None:
        """Start nothing more."""
        if self.halt is None:
            self.halt = why
        self.scheduler.stop()

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            StoreError: the orders cannot be read.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_process(), name="watch the process")
            group.create_task(self._watch_orders(), name="watch orders")

    async def take_up(self) -> None:
        """Begin with the orders of earlier processes; to run the night again takes back a pause or a drain."""
        standing = fold_orders(await self.store.orders(self.night))
        if standing.paused or standing.draining:
            await self.store.add_order(
                Verb.RESUME, night=self.night, reason="the night was started again", by="pantheon"
            )
        # What was requeued before stands in the store already; only what is ordered from now on is news.
        self._orders = list(await self.store.orders(self.night))
        self._follow(fold_orders(self._orders))
        await self.look()

    async def look(self) -> None:
        """Look at the process, the clock and the orders once."""
        if self.stopping.is_set():
            self.stop(Halt.DRAINED)
        if self.budget.reached(self._used, self._worked_s()):
            self.stop(Halt.BUDGET)
        if self.ends_at is not None and self.clock.now() >= self.ends_at:
            self.stop(Halt.WINDOW)
        new = await self.store.orders(self.night, after=self._orders[-1].seq if self._orders else 0)
        if not new:
            return
        self._orders += new
        self._follow(fold_orders(self._orders))
        if requeued := {order.task for order in new if order.verb is Verb.REQUEUE}:
            await self.reopen(requeued)

    def _worked_s(self) -> float:
        return self.spent.worked_s + self.clock.monotonic() - self._began

    def _follow(self, standing: Standing) -> None:
        if standing.draining:
            self.stop(Halt.DRAINED)
        if standing.cancelled is not None:
            self.halt = self.halt or Halt.CANCELLED
        self.scheduler.obey(standing)

    async def _watch_process(self) -> None:
        await self.stopping.wait()
        self.stop(Halt.DRAINED)

    async def _watch_orders(self) -> None:
        while True:
            await self.look()
            await self.clock.sleep(POLL_S)
