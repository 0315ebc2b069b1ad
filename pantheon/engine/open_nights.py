"""Which open night can be gone on with, and which only waits for the merge window."""

from collections.abc import Mapping, Sequence

from pantheon.core.records import EventRecord, NightRecord, NightState
from pantheon.ports.store import Store

WAITS = "night.waits_to_land"
"""Event of a night in which nothing can be done but landing, once the merge window opens."""
_BEGUN = "night.planned"
"""Event of each process that takes a night up."""


async def choose_open(
    store: Store, nights: Sequence[NightRecord], *, merges_open: bool
) -> NightRecord | None:
    """Return the open night to go on with: the oldest in which something can be done; None for none.

    Args:
        store: their state.
        nights: every night, oldest first.
        merges_open: whether merges may start now.

    Raises:
        StoreError: it cannot be read.
    """
    for night in nights:
        if night.state is NightState.RUNNING and (merges_open or not await waits_to_land(store, night.id)):
            return night
    return None


async def waits_to_land(store: Store, night: str) -> int:
    """Return how many changes of an open night wait for the merge window; 0 when something else can be done in it."""
    said = await store.events(night, name=WAITS)
    begun = await store.events(night, name=_BEGUN)
    return await _standing_still(store, night, said[-1] if said else None, begun[-1] if begun else None)


async def _standing_still(
    store: Store, night: str, said: EventRecord | None, begun: EventRecord | None
) -> int:
    if said is None or (begun is not None and begun.seq > said.seq):
        return 0
    details: Mapping[str, object] = said.details
    tasks, seen = details.get("tasks"), details.get("orders")
    if not isinstance(tasks, int) or not isinstance(seen, int):
        return 0
    # The operator may have put something back since.
    return 0 if await store.orders(night, after=seen) else tasks


async def count_to_land(store: Store) -> int:
    """Return how many changes of all open nights wait for the merge window. Raises ``StoreError``."""
    running = [one.id for one in await store.nights() if one.state is NightState.RUNNING]
    return sum([await waits_to_land(store, night) for night in running])


def changes_wait(count: int) -> str:
    """Return the beginning of a sentence about changes that wait to land."""
    return f"{count} allowed change{' waits' if count == 1 else 's wait'}"
