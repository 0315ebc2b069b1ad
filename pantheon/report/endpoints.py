"""What the report and ``status`` tell of the endpoints of a night's pool."""

from collections.abc import Sequence

from pantheon.core.pool_record import CALLS, CHANGE, EndpointCalls, sum_calls
from pantheon.core.records import EventRecord
from pantheon.core.visible import visible
from pantheon.ports.store import Store
from pantheon.report.model import EndpointShown, Report

AT_ONCE = 1_000


async def read_calls(store: Store, night: str) -> tuple[EndpointCalls, ...]:
    """Return what each endpoint did in a night; none where there was one endpoint. Raises ``StoreError``."""
    found: list[EventRecord] = []
    for name in (CALLS, CHANGE):
        after = 0
        while events := await store.events(night, after=after, limit=AT_ONCE, name=name):
            found.extend(events)
            after = events[-1].seq
    return sum_calls(found)


def tell_endpoints(report: Report, calls: Sequence[EndpointCalls]) -> Report:
    """Return the report with what each endpoint did."""
    shown = tuple(
        EndpointShown(
            endpoint=visible(one.endpoint), answered=one.answered, broken=one.broken, state=visible(one.state)
        )
        for one in calls
    )
    return report.model_copy(update={"endpoints": shown}) if shown else report
