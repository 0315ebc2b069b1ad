"""What a night records of the endpoints of its pool, and what people are told from it."""

from collections.abc import Iterable, Mapping

from pydantic import Field

from pantheon.core.model import Frozen
from pantheon.core.records import EventRecord

CALLS, CHANGE = "endpoint.calls", "endpoint.change"
"""Names of the events: the calls since the last such event, about the night; what became of an endpoint, about it."""
MAX_SHOWN = 64
"""Endpoints that are told of."""


class EndpointCalls(Frozen):
    """What one endpoint did in a night."""

    endpoint: str
    answered: int = Field(default=0, ge=0)
    broken: int = Field(default=0, ge=0)
    """Calls that it broke, and that another one was asked for where there was one."""
    state: str = ""
    """What became of it last; empty where nothing did."""


def sum_calls(events: Iterable[EventRecord]) -> tuple[EndpointCalls, ...]:
    """Return what each endpoint did, in order of its calls; what is no count is left out."""
    found: dict[str, EndpointCalls] = {}
    for event in sorted(events, key=lambda one: one.seq):
        if event.name == CHANGE:
            known = found.get(event.subject) or EndpointCalls(endpoint=event.subject)
            state = str(event.details.get("what", ""))[:100]
            found[event.subject] = known.model_copy(update={"state": state})
        for name, counts in event.details.items() if event.name == CALLS else ():
            known = found.get(name) or EndpointCalls(endpoint=name)
            found[name] = known.model_copy(
                update={
                    "answered": known.answered + _count(counts, "answered"),
                    "broken": known.broken + _count(counts, "broken"),
                }
            )
    ordered = sorted(found.values(), key=lambda one: (-one.answered, one.endpoint))
    return tuple(ordered[:MAX_SHOWN])


def _count(counts: object, name: str) -> int:
    value = counts.get(name) if isinstance(counts, Mapping) else None
    return value if isinstance(value, int) and value > 0 else 0
