"""Renews the leases of everything that runs, all from one place, and ends the work whose lease is lost."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pantheon.core.errors import LeaseLostError
from pantheon.core.records import Lease
from pantheon.ports.clock import Clock
from pantheon.ports.store import Store

SHORTEST_BEAT_S = 0.5
BEATS_PER_LEASE = 3


@dataclass(eq=False, slots=True)
class Held:
    """A lease while its work runs."""

    lease: Lease
    work: "asyncio.Task[object] | None"
    lost: LeaseLostError | None = None
    """Set, and the work cancelled, when another owner has the node."""


@dataclass
class LeaseKeeper:
    """The night's heartbeat.

    Args:
        store: where leases are renewed.
        clock: for waiting.
        lease_s: length of a lease, in seconds; it is renewed three times in that span.
    """

    store: Store
    clock: Clock
    lease_s: float
    _held: set[Held] = field(init=False, default_factory=set)

    @contextmanager
    def hold(self, lease: Lease) -> Iterator[Held]:
        """Renew a lease while the block runs in the current ``asyncio.Task``."""
        held = Held(lease, asyncio.current_task())
        self._held.add(held)
        try:
            yield held
        finally:
            self._held.discard(held)

    async def run(self) -> None:
        """Renew until cancelled.

        Raises:
            StoreError: the store cannot be written; the night cannot go on.
        """
        while True:
            await self.clock.sleep(max(self.lease_s / BEATS_PER_LEASE, SHORTEST_BEAT_S))
            async with asyncio.TaskGroup() as group:
                for held in tuple(self._held):
                    group.create_task(self._renew(held), name=f"heartbeat {held.lease.node}")

    async def _renew(self, held: Held) -> None:
        try:
            held.lease = await self.store.renew(held.lease, lease_s=max(self.lease_s, 1.0))
        except LeaseLostError as error:
            # What was settled in the meantime has no lease to lose.
            if held in self._held and held.work is not None:
                held.lost = error
                held.work.cancel()
