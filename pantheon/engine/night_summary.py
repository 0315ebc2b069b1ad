"""How a night ends: its outcomes counted, attested and recorded, and told to whoever ran it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pantheon.core.carry_over import plan_carry_over
from pantheon.core.operation import TASK_TRAILER
from pantheon.core.records import NightRecord, TaskRecord
from pantheon.engine.canaries import Canaries
from pantheon.engine.services import Services
from pantheon.engine.testimony import attest_night
from pantheon.ports.store import Store

OPENED = "night.opened"
"""Event of the store: what a night has taken, and how much of it closed nights had not reached."""


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
    carried_over: tuple[str, ...] = ()
    """Keys of the tasks that it has not reached and that the next night takes up by itself."""


async def end_night(
    services: Services, record: NightRecord, canaries: Canaries | None, began_s: float
) -> NightSummary:
    """Close the night, attested and with its figures, unless work is left; then it stays open.

    Args:
        services: those of the night.
        record: the night.
        canaries: what was planted among its reviews; None when nothing was.
        began_s: when this process took it up, on the monotonic clock.

    Raises:
        StoreError, ArtifactError, SignatureError: it cannot be closed, and stays open.
    """
    tasks = await services.store.tasks(night=record.id)
    outcomes: dict[str, int] = {}
    for task in tasks:
        name = "open" if task.outcome is None else str(task.outcome)
        outcomes[name] = outcomes.get(name, 0) + 1
    wall_s = services.clock.monotonic() - began_s
    left_open = "open" in outcomes
    carry: tuple[str, ...] = ()
    if not left_open:
        left_by = await _left_by(services.store, record.id)
        carry = await _plan_carry(services, record, tasks)
        if services.open_ledger is not None:
            await attest_night(services, record, outcomes, left_by)
        attempts = await services.store.measure_attempts(record.id)
        figures = {
            "outcomes": outcomes,
            "wall_s": round(wall_s, 3),
            "attempts": attempts.model_dump(),
            "canaries": [] if canaries is None else [one.model_dump() for one in canaries.standings()],
            "left_by": left_by,
            "carried_over": len(carry),
        }
        await services.store.close_night(record.id, figures, carry=carry)
    return NightSummary(record.id, record.branch, outcomes, tasks, wall_s, left_open, carried_over=carry)


async def _left_by(store: Store, night: str) -> dict[str, int]:
    """Return closed night -> how many tasks that it had not reached this one took up."""
    found: dict[str, int] = {}
    for event in await store.events(night, name=OPENED):
        for earlier, count in event.details.get("left", {}).items():
            found[earlier] = found.get(earlier, 0) + count
    return found


async def _plan_carry(
    services: Services, record: NightRecord, tasks: Sequence[TaskRecord]
) -> tuple[str, ...]:
    """Return the tasks that the next night takes up by itself."""
    carry = await asyncio.to_thread(plan_carry_over, tasks)
    if not carry or (head := await services.repository.branch(record.branch)) is None:
        return carry
    # A process may have died between a merge and its record, and none got so far again before the end.
    landed = await services.repository.trailer_values(record.base_commit, head, TASK_TRAILER)
    return await asyncio.to_thread(plan_carry_over, tasks, frozenset(landed))
