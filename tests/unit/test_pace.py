"""The model's slots follow what the server can take, on virtual time."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from pantheon.core.chat import ChatReply, ChatRequest, Message, Sampling, Timings, Usage
from pantheon.core.concurrency import Concurrency, Load
from pantheon.core.errors import ModelOverloadedError
from pantheon.engine.pace import CHANGED, PacedModel, PaceKeeper
from pantheon.testing.store import FakeStore
from pantheon.testing.virtual_time import run_virtually

REQUEST = ChatRequest(messages=(Message(role="user", content="x"),), sampling=Sampling(max_tokens=10))
ALONE_S = 1.0
DAWN = datetime(2026, 1, 1, tzinfo=UTC)


class LoopClock:
    """``ports.clock.Clock`` on the time of the loop."""

    def now(self) -> datetime:
        return DAWN + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class Server:
    """As fast for ``width`` calls at once as for one; beyond that each takes its share of the time."""

    width: int
    tells: bool = False
    room: int = 1_000
    refuses_above: int = 1_000
    endpoint: str = "simulated"
    most: int = 0
    _inside: int = 0

    async def chat(self, request: ChatRequest, *, deadline_s: float) -> ChatReply:
        if self._inside >= self.refuses_above:
            raise ModelOverloadedError("busy")
        self._inside += 1
        self.most = max(self.most, self._inside)
        await asyncio.sleep(ALONE_S * max(1.0, self._inside / self.width))
        self._inside -= 1
        return ChatReply(
            text="x", finish_reason="stop", model="simulated", timings=Timings(first_token_s=0.1, total_s=1.0),
            usage=Usage(prompt_tokens=30, cached_tokens=20, completion_tokens=10),
        )  # fmt: skip

    async def model_name(self, *, deadline_s: float) -> str:
        return self.endpoint

    async def load(self) -> Load:
        if not self.tells:
            return Load()
        return Load(
            running=min(self._inside, self.room), waiting=max(0, self._inside - self.room), cache_use=0.4
        )

    async def aclose(self) -> None:
        return None


@dataclass
class Night:
    """Keeps as many calls in flight as it is allowed."""

    server: Server
    ceiling: int = 32
    limit: int = 0
    limits: list[int] = field(default_factory=list)
    store: FakeStore = field(init=False)

    async def work(self, seconds: float) -> None:
        clock = LoopClock()
        self.store = FakeStore(clock)
        model = PacedModel(self.server, clock)
        keeper = PaceKeeper(model, Concurrency(ceiling=self.ceiling), self.store, clock, "n1", self._resize)
        running = set[asyncio.Task[None]]()
        async with asyncio.TaskGroup() as group:
            pace = group.create_task(keeper.run(), name="pace")
            while clock.monotonic() < seconds:
                while len(running) < self.limit:
                    call = group.create_task(self._call(model), name="call")
                    running.add(call)
                    call.add_done_callback(running.discard)
                if running:
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(0.1)
            pace.cancel()

    async def _call(self, model: PacedModel) -> None:
        try:
            await model.chat(REQUEST, deadline_s=60)
        except ModelOverloadedError:
            await asyncio.sleep(0.5)

    def _resize(self, slots: int) -> None:
        self.limit = slots
        self.limits.append(slots)


def work(server: Server, seconds: float = 900, ceiling: int = 32) -> Night:
    night = Night(server, ceiling)
    run_virtually(night.work(seconds))
    return night


@pytest.mark.parametrize("width", [1, 4, 12])
def test_a_server_that_says_nothing_is_filled_as_far_as_it_pays(width: int) -> None:
    """From what calls come to alone: most of the width, and not twice of it."""
    night = work(Server(width))
    assert width / 1.3 <= night.limit <= max(2, 2 * width)


def test_what_the_server_says_of_its_queue_is_heeded() -> None:
    """Requests that wait inside the server go back to waiting in the night."""
    night = work(Server(width=1_000, tells=True, room=6))
    assert night.limit <= 8
    assert night.limits.count(6) + night.limits.count(5) >= 1


def test_refusals_halve_what_is_in_flight() -> None:
    """A server that refuses for load is given less, and the night says why."""
    night = work(Server(width=1_000, refuses_above=5))
    assert night.limit <= 7
    events = asyncio.run(night.store.events("n1", name=CHANGED))
    assert any("refused" in event.details["why"] for event in events)


def test_the_ceiling_holds() -> None:
    """However fast the server is."""
    assert work(Server(width=1_000), ceiling=3).server.most <= 3


def test_a_night_with_little_to_ask_changes_nothing() -> None:
    """One call now and then says nothing about what more would bring."""

    async def idle() -> list[int]:
        clock, limits = LoopClock(), list[int]()
        model = PacedModel(Server(4), clock)
        begin = Concurrency(ceiling=8, limit=4)
        keeper = PaceKeeper(model, begin, FakeStore(clock), clock, "n1", limits.append)
        async with asyncio.TaskGroup() as group:
            pace = group.create_task(keeper.run(), name="pace")
            for _ in range(100):
                await model.chat(REQUEST, deadline_s=60)
                await asyncio.sleep(3)
            pace.cancel()
        return limits

    assert run_virtually(idle()) == [4]
