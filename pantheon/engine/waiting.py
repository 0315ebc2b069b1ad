"""How much of what waits a night would take: what needs a held task waits with it."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pantheon.core.carry_over import accepted_of, choose_takeable
from pantheon.core.records import Counts
from pantheon.ports.store import Store


@dataclass(frozen=True)
class Takeable:
    """Tasks that a night would take."""

    tasks: int
    left: Mapping[str, int] = field(default_factory=dict)
    """Closed night -> those of them that it has not reached."""


async def count_takeable(store: Store, counts: Counts) -> Takeable:
    """Count what a night would take; the tasks are read only where some are held.

    Args:
        store: their state.
        counts: what was counted of it.

    Raises:
        StoreError: it cannot be read.
    """
    if not (counts.held and counts.pending):
        return Takeable(counts.pending, counts.left)
    done = accepted_of(await store.tasks())
    chosen = await asyncio.to_thread(choose_takeable, await store.tasks(pending=True), done)
    left = Counter(task.left_by for task in chosen if task.left_by is not None)
    return Takeable(len(chosen), dict(left))
