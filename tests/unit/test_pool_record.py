"""What a night tells of its endpoints, counted from events and from a pool at work."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from pantheon.core.chat import ChatRequest, Message
from pantheon.core.errors import ModelLostError, StoreError
from pantheon.core.pool_record import CALLS, CHANGE, EndpointCalls, sum_calls
from pantheon.core.records import EventRecord
from pantheon.engine.alongside import alongside
from pantheon.engine.drains import Drains
from pantheon.engine.endpoint_models import EndpointModels
from pantheon.engine.pool_log import PoolLog, pool_logged
from pantheon.engine.pooled_model import PooledModel
from pantheon.testing.clock import FakeClock
from pantheon.testing.model import FakeModel, Spoken
from pantheon.testing.steps import Steps
from pantheon.testing.store import FakeStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = ChatRequest(messages=(Message(role="user", content="go"),))


def event(seq: int, name: str, subject: str, **details: object) -> EventRecord:
    return EventRecord(seq=seq, at=NOW, night="n", subject=subject, name=name, details=details)


def test_records_add_up_and_the_last_change_counts() -> None:
    """Every record holds what came since the one before; what is no count is none."""
    events = [
        event(3, CHANGE, "b", what="answers again"),
        event(1, CALLS, "n", a={"answered": 2, "broken": 1}, b={"answered": 5, "broken": -3}),
        event(2, CHANGE, "b", what="is lost"),
        event(4, CALLS, "n", a={"answered": 4}, c="many"),
    ]
    assert sum_calls(events) == (
        EndpointCalls(endpoint="a", answered=6, broken=1),
        EndpointCalls(endpoint="b", answered=5, state="answers again"),
        EndpointCalls(endpoint="c"),
    )


async def test_a_night_records_what_its_pool_did() -> None:
    """Calls that were answered and broken, and the loss, are in the store when the night is over, even in an error."""
    clock = FakeClock()
    broken, well = FakeModel(lambda _: ModelLostError("gone")), FakeModel(lambda _: Spoken("yes"))
    endpoints = [(EndpointModels("a", {"": broken}), 1000), (EndpointModels("b", {"": well}), 1)]
    pool, store = PooledModel(endpoints, clock), FakeStore(clock)
    with pytest.raises(StoreError, match="full"):
        async with pool_logged(pool, store, clock, "n"):
            await pool.chat(REQUEST, deadline_s=5)
            raise StoreError("full")
    told = [one for name in (CALLS, CHANGE) for one in await store.events("n", name=name)]
    assert sum_calls(told) == (
        EndpointCalls(endpoint="b", answered=1),
        EndpointCalls(endpoint="a", broken=1, state="is lost"),
    )


class SlowStore(FakeStore):
    """Takes its time to record."""

    async def add_event(self, *what: Any, **more: Any) -> None:
        await asyncio.sleep(0)
        await super().add_event(*what, **more)


@pytest.mark.parametrize("late", [False, True])
async def test_what_a_pool_told_is_recorded_whenever_that_is_cancelled(late: bool) -> None:
    """The end of a night may come while a record is being made: each call is counted once."""
    for at in range(1, 20):
        clock = FakeClock()
        broken, well = FakeModel(lambda _: ModelLostError("gone")), FakeModel(lambda _: Spoken("yes"))
        endpoints = [(EndpointModels("a", {"": broken}), 1000), (EndpointModels("b", {"": well}), 1)]
        pool, store = PooledModel(endpoints, clock), SlowStore(clock)
        await pool.chat(REQUEST, deadline_s=5)
        steps = Steps(at, late=late)
        await asyncio.wait([steps.start(PoolLog(pool, store, clock, "n").record(), name="log")])
        told = [one for name in (CALLS, CHANGE) for one in await store.events("n", name=name)]
        assert {one.endpoint: (one.answered, one.broken, one.state) for one in sum_calls(told)} == {
            "a": (0, 1, "is lost"),
            "b": (1, 0, ""),
        }
        if steps.count < at:
            return
    pytest.fail("the record never came to its end")


async def test_drains_are_orders_that_are_recorded() -> None:
    """An order holds until it is taken back, whoever reads; one that changes nothing is not recorded."""
    store = FakeStore(FakeClock())
    night, operator = Drains(store), Drains(store)
    assert await night.read() == {}
    assert await operator.order("a", draining=True, reason="new disk", by="me")
    assert not await operator.order("a", draining=True, reason="again", by="me")
    assert await night.read() == {"a": "new disk"}
    assert await operator.order("a", draining=False, reason="done", by="me")
    assert await night.read() == await Drains(store).read() == {}
    assert [one.details["reason"] for one in await store.events("")] == ["new disk", "done"]


async def test_what_runs_alongside_ends_with_the_body_and_ends_it() -> None:
    """The body's error is itself; the work's error ends the body."""
    ended = []

    async def endless() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(True)

    async def fails() -> None:
        raise StoreError("gone")

    with pytest.raises(ModelLostError, match="mine"):
        async with alongside({"endless": endless}):
            await asyncio.sleep(0)
            raise ModelLostError("mine")
    assert ended == [True]
    with pytest.raises(ExceptionGroup) as caught:
        async with alongside({"fails": fails, "endless": endless}):
            await asyncio.sleep(3600)
    assert caught.group_contains(StoreError, match="gone")
