"""Records with a night what its endpoints did: how many calls each answered and broke, and when one was lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pantheon.core.pool_record import CALLS, CHANGE
from pantheon.engine.alongside import alongside
from pantheon.engine.pooled_model import PooledModel
from pantheon.engine.to_end import to_end
from pantheon.ports.clock import Clock
from pantheon.ports.model import ModelClient
from pantheon.ports.store import Store

EACH_S = 30.0
"""Seconds between two records; what was counted after the last one is lost with the process."""


@asynccontextmanager
async def pool_logged(model: ModelClient, store: Store, clock: Clock, night: str) -> AsyncIterator[None]:
    """Record with a night what a pool does for the length of a ``with``; nothing of what is no pool.

    Raises:
        StoreError: it cannot be recorded.
    """
    if not isinstance(model, PooledModel):
        yield
        return
    log = PoolLog(model, store, clock, night)
    try:
        async with alongside({"log of the pool": log.run}):
            yield
    finally:
        await log.record()


@dataclass
class PoolLog:
    """Writes down what a pool tells."""

    pool: PooledModel
    store: Store
    clock: Clock
    night: str

    async def run(self) -> None:
        """Record from time to time, until cancelled. Raises ``StoreError``."""
        while True:
            await self.clock.sleep(EACH_S)
            await self.record()

    async def record(self) -> None:
        """Record what has happened since the last time. Raises ``StoreError``.

        Cancellation:
            All of it is recorded first: the pool has forgotten what it told.
        """
        _, cancelled = await to_end(self._record())
        if cancelled:
            raise asyncio.CancelledError

    async def _record(self) -> None:
        counts, changes = self.pool.take_news()
        for name, what, why in changes:
            await self.store.add_event(self.night, name, CHANGE, {"what": what, "why": why})
        if counts:
            told = {
                name: {"answered": answered, "broken": broken} for name, (answered, broken) in counts.items()
            }
            await self.store.add_event(self.night, self.night, CALLS, told)
