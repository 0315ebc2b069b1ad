"""How a night ends: its outcomes counted, attested and recorded, and told to whoever ran it."""

from collections.abc import Mapping
from dataclasses import dataclass

from pantheon.core.records import NightRecord, TaskRecord
from pantheon.engine.canaries import Canaries
from pantheon.engine.services import Services
from pantheon.engine.testimony import attest_night


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
    if not left_open:
        if services.open_ledger is not None:
            await attest_night(services, record, outcomes)
        attempts = await services.store.measure_attempts(record.id)
        figures = {
            "outcomes": outcomes,
            "wall_s": round(wall_s, 3),
            "attempts": attempts.model_dump(),
            "canaries": [] if canaries is None else [one.model_dump() for one in canaries.standings()],
        }
        await services.store.close_night(record.id, figures)
    return NightSummary(record.id, record.branch, outcomes, tasks, wall_s, left_open)
