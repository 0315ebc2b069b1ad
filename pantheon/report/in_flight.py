"""What the report tells of how many requests a night kept in flight, where it found that out itself."""

from pydantic import ValidationError

from pantheon.core.concurrency import CHANGED, PaceChange
from pantheon.core.visible import visible
from pantheon.ports.store import Store
from pantheon.report.model import InFlightShown, Report

SHOWN = 50
"""Changes at most; the last ones."""


async def tell_in_flight(report: Report, store: Store) -> Report:
    """Return the report with the changes of the number in flight. Raises ``StoreError``."""
    events = await store.events(report.night.id, name=CHANGED)
    shown, unreadable = list[InFlightShown](), 0
    for event in events:
        try:
            change = PaceChange.model_validate(event.details)
        except ValidationError:
            unreadable += 1
            continue
        after_s = max(0.0, (event.at - report.night.started_at).total_seconds())
        shown.append(
            InFlightShown(
                after_s=round(after_s, 1), limit=change.limit, why=visible(change.why), per_s=change.per_s
            )
        )
    if not events:
        return report
    problems = (f"{unreadable} of the changes of the number in flight cannot be read",) if unreadable else ()
    return report.model_copy(
        update={"in_flight": tuple(shown[-SHOWN:]), "problems": (*report.problems, *problems)}
    )
