"""A pool of endpoints as one client: affinity, failing over, losing all, draining, and coming back."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from pantheon.core.chat import ChatRequest, Message
from pantheon.core.errors import (
    ModelChangedError,
    ModelError,
    ModelLostError,
    ModelOutputError,
    ModelRefusedError,
)
from pantheon.engine.alongside import alongside
from pantheon.engine.endpoint_models import EndpointModels
from pantheon.engine.pooled_model import BACK, DRAINING, LOST, TAKEN_BACK, PooledModel
from pantheon.engine.server_keeper import ServerKeeper
from pantheon.testing.clock import FakeClock
from pantheon.testing.model import FakeModel, Spoken
from pantheon.testing.store import FakeStore


@dataclass
class Told(FakeModel):
    """A fake that says who it is, and breaks on order."""

    breaks: ModelError | None = None
    clock: FakeClock | None = None
    takes_s: float = 0.0

    async def chat(self, request: ChatRequest, *, deadline_s: float):  # type: ignore[no-untyped-def]
        if self.clock is not None:
            self.clock.advance(self.takes_s)
        if self.breaks is not None:
            self.requests.append(request)
            raise self.breaks
        return await super().chat(request, deadline_s=deadline_s)

    async def identity(self, *, deadline_s: float) -> tuple[str, str]:
        if self.breaks is not None:
            raise self.breaks
        return self.name, f"digest of {self.name}"

    async def model_name(self, *, deadline_s: float) -> str:
        return (await self.identity(deadline_s=deadline_s))[0]


@dataclass
class Rig:
    """Three endpoints: a and b serve the night's model, b and c another one."""

    clock: FakeClock = field(default_factory=FakeClock)
    fakes: dict[str, Told] = field(default_factory=dict)
    drains: dict[str, str] = field(default_factory=dict)
    told: list[tuple[str, str]] = field(default_factory=list)
    pool: PooledModel = field(init=False)

    def __post_init__(self) -> None:
        for name in ("a", "b", "c"):
            self.fakes[name] = Told(lambda _: Spoken("yes"), name=name)
        serves: Mapping[str, tuple[str, ...]] = {"a": ("",), "b": ("", "big"), "c": ("big",)}
        endpoints = [
            (EndpointModels(name, dict.fromkeys(models, self.fakes[name])), 1)
            for name, models in serves.items()
        ]
        self.pool = PooledModel(
            endpoints,
            self.clock,
            read_drains=self._read,
            tell=lambda name, what, _why: self.told.append((name, what)),
        )

    async def _read(self) -> Mapping[str, str]:
        return dict(self.drains)

    async def ask(self, opening: str = "you are", model: str = "", deadline_s: float = 60.0) -> str:
        messages = (Message(role="system", content=opening), Message(role="user", content="go"))
        request = ChatRequest(messages=messages, model=model)
        return (await self.pool.chat(request, deadline_s=deadline_s)).endpoint

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(2):
            while not holds():
                self.clock.advance(1.0)
                await asyncio.sleep(0)


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_one_prefix_stays_and_many_spread(rig: Rig) -> None:
    """The reply names who answered; an agent's calls meet, and different agents use all who serve the model."""
    assert len({await rig.ask("one agent") for _ in range(10)}) == 1
    assert {await rig.ask(f"agent {n}") for n in range(30)} == {"a", "b"}
    assert {await rig.ask(f"agent {n}", "big") for n in range(30)} == {"b", "c"}


async def test_what_one_breaks_another_answers(rig: Rig) -> None:
    """The call goes on, the breaker of the broken one opens, and it is asked no more."""
    rig.fakes["a"].breaks = ModelLostError("gone")
    assert {await rig.ask(f"agent {n}") for n in range(20)} == {"b"}
    assert len(rig.fakes["a"].requests) == 1 and rig.told == [("a", LOST)]


async def test_garbage_is_asked_of_the_next_too(rig: Rig) -> None:
    """An endpoint that answers what is no answer costs the attempt nothing while another one is there."""
    rig.fakes["a"].breaks = ModelOutputError("no JSON")
    assert {await rig.ask(f"agent {n}") for n in range(20)} == {"b"}


async def test_a_refusal_is_the_requests_own_fault(rig: Rig) -> None:
    """What would be refused again is not carried round the pool."""
    rig.fakes["a"].breaks = rig.fakes["b"].breaks = ModelRefusedError("too long")
    with pytest.raises(ModelRefusedError):
        await rig.ask()
    assert len(rig.fakes["a"].requests) + len(rig.fakes["b"].requests) == 1


async def test_the_pool_is_lost_only_without_anybody_left_for_the_model(rig: Rig) -> None:
    """Losing the last that serves a model is an outage that names it, and lasts until somebody serves it again."""
    rig.fakes["b"].breaks = rig.fakes["c"].breaks = ModelLostError("gone")
    async with rig.pool.kept():
        with pytest.raises(ModelLostError, match=r"serves 'big'.*b: gone; c: gone"):
            await rig.ask(model="big")
        assert await rig.ask() == "a"
        with pytest.raises(ModelLostError, match="big"):
            await rig.pool.model_name(deadline_s=1)
        rig.fakes["c"].breaks = None
        await rig.until(lambda: ("c", BACK) in rig.told)
        assert await rig.pool.model_name(deadline_s=1) == "a"
        assert await rig.ask(model="big") == "c"


async def test_an_unknown_model_is_served_by_nobody(rig: Rig) -> None:
    """No endpoint is asked for what it was not configured to serve."""
    with pytest.raises(ModelLostError, match="none does"):
        await rig.ask(model="huge")
    assert not any(fake.requests for fake in rig.fakes.values())


async def test_a_deadline_that_is_over_asks_nobody_else(rig: Rig) -> None:
    """The deadline is the call's, not each endpoint's; the pool is not lost for it."""
    for fake in rig.fakes.values():
        fake.breaks, fake.clock, fake.takes_s = ModelLostError("slow death"), rig.clock, 7.0
    with pytest.raises(ModelOutputError, match="no time was left"):
        await rig.ask(deadline_s=5.0)
    assert sum(len(fake.requests) for fake in rig.fakes.values()) == 1


async def test_what_drains_is_asked_nothing_new_and_probed_before_it_is_back(rig: Rig) -> None:
    """Draining takes no call; taken back, it answers a probe first, and one with another model never does."""
    rig.drains["a"] = "new weights"
    async with rig.pool.kept():
        assert {await rig.ask(f"agent {n}") for n in range(20)} == {"b"}
        assert rig.told == [("a", DRAINING)] and not rig.fakes["a"].requests
        rig.fakes["a"].breaks = ModelChangedError("another model")
        rig.drains.clear()
        await rig.until(lambda: ("a", TAKEN_BACK) in rig.told)
        for _ in range(10):
            await rig.until(lambda: True)
            assert {await rig.ask(f"agent {n}") for n in range(9)} == {"b"}
        rig.fakes["a"].breaks = None
        await rig.until(lambda: ("a", BACK) in rig.told)
        assert {await rig.ask(f"agent {n}") for n in range(30)} == {"a", "b"}


async def test_a_cancelled_call_is_no_longer_in_flight(rig: Rig) -> None:
    """What was cancelled does not count against an endpoint's share."""
    for fake in rig.fakes.values():
        fake.script = lambda _: Spoken("late", delay_s=3600)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(rig.ask(), name="call")
        await asyncio.sleep(0)
        task.cancel()
    assert all(seat.in_flight == 0 for seat in rig.pool._seats.values())


async def test_the_identity_does_not_say_who_serves_what(rig: Rig) -> None:
    """The same models on other endpoints are the same models."""
    name, digest = await rig.pool.identity(deadline_s=1)
    turned = PooledModel([(one, 5) for one, _ in reversed(rig.pool.endpoints)], rig.clock)
    assert (name, digest) == await turned.identity(deadline_s=1)
    rig.fakes["c"].name = "d"
    assert digest != (await rig.pool.identity(deadline_s=1))[1]


async def test_a_night_waits_for_a_pool_that_is_lost_as_a_whole(rig: Rig) -> None:
    """One lost endpoint holds nothing; the last one of a model holds the night, until one is back."""
    held: list[bool] = []
    keeper = ServerKeeper(client=rig.pool, store=FakeStore(rig.clock), clock=rig.clock, night="n")
    keeper.join(hold=held.append, give_up=lambda: None, tell=lambda _name, _why: None)
    request = ChatRequest(messages=(Message(role="system", content="you are"),))
    async with rig.pool.kept(), alongside({"keeper": keeper.run}):
        rig.fakes["a"].breaks = ModelLostError("gone")
        for number in range(9):
            opening = Message(role="system", content=f"agent {number}")
            assert (await keeper.model.chat(ChatRequest(messages=(opening,)), deadline_s=5)).endpoint == "b"
        assert held == []
        rig.fakes["b"].breaks = ModelLostError("gone too")
        with pytest.raises(ModelLostError, match="a: gone; b: gone too"):
            await keeper.model.chat(request, deadline_s=5)
        assert held == [True]
        rig.fakes["a"].breaks = None
        await rig.until(lambda: held == [True, False])
        assert (await keeper.model.chat(request, deadline_s=5)).endpoint == "a"
