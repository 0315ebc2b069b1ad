"""The model's slots follow what the server can take, on virtual time."""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from pantheon.core.chat import ChatReply, ChatRequest, Message, Sampling, Timings, Usage
from pantheon.core.concurrency import CHANGED, Concurrency, Load
from pantheon.core.errors import ModelOverloadedError, ModelTimeoutError
from pantheon.engine.pace import LOOKS, PacedModel, PaceKeeper
from pantheon.testing.clock import FakeClock
from pantheon.testing.store import FakeStore
from pantheon.testing.virtual_time import run_virtually

REQUEST = ChatRequest(messages=(Message(role="user", content="x"),), sampling=Sampling(max_tokens=10))
ALONE_S = 0.9
"""No divisor of the time between two looks: no server ends all of its calls whenever it is looked at."""
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


class Late(Server):
    """Answers nothing before its deadline."""

    def __init__(self) -> None:
        super().__init__(width=1)

    async def chat(self, request: ChatRequest, *, deadline_s: float) -> ChatReply:
        await asyncio.sleep(deadline_s)
        raise ModelTimeoutError("late")


@dataclass
class Batching:
    """Answers as an engine does that batches: prompts first, as many as fit into a step, then a token for everybody.

    Computing 361 tokens takes 0.36 s, a step of tokens 22 ms and 1.8 ms for each answer in it: one call at once comes
    to 38 tokens a second, eight to 136, sixteen to 167, as measured with vLLM on two cores (benchmarks/NOTES.md).
    """

    tells: bool
    endpoint: str = "simulated"
    written: int = 0
    _waiting: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)
    _running: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)
    _random: random.Random = field(default_factory=lambda: random.Random(1))
    _engine: asyncio.Task[None] | None = None

    async def _work(self) -> None:
        while self._waiting or self._running:
            fits = max(0, (2_048 - len(self._running)) // 361)
            begun, self._waiting = self._waiting[:fits], self._waiting[fits:]
            self._running += begun
            await asyncio.sleep(0.361 * len(begun) + 0.022 + 0.0018 * len(self._running))
            after = [(left - 1, answer) for left, answer in self._running]
            for _, answer in (one for one in after if one[0] <= 0):
                answer.set_result(None)
            self._running = [one for one in after if one[0] > 0]
        self._engine = None

    async def chat(self, request: ChatRequest, *, deadline_s: float) -> ChatReply:
        tokens, answer = max(8, int(self._random.gauss(127, 50))), asyncio.get_running_loop().create_future()
        self._waiting.append((tokens, answer))
        if self._engine is None:
            self._engine = asyncio.create_task(self._work(), name="engine")
        await answer
        self.written += tokens
        return ChatReply(
            text="x", finish_reason="stop", model="simulated", timings=Timings(first_token_s=0.1, total_s=1.0),
            usage=Usage(prompt_tokens=361, completion_tokens=tokens),
        )  # fmt: skip

    async def model_name(self, *, deadline_s: float) -> str:
        return self.endpoint

    async def load(self) -> Load:
        told = Load(running=len(self._running), waiting=len(self._waiting), cache_use=0.2)
        return told if self.tells else Load()

    async def aclose(self) -> None:
        return None


@dataclass
class Night:
    """Keeps as many calls in flight as it is allowed."""

    server: Server | Batching
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


def work(server: Server | Batching, seconds: float = 900, ceiling: int = 32) -> Night:
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


@pytest.mark.parametrize(("tells", "share"), [(True, 0.95), (False, 0.85)])
def test_a_server_that_batches_is_kept_as_full_as_by_who_knows_it(tells: bool, share: float) -> None:
    """Waves of prompts that wait for a moment, and answers of all lengths, do not have it held below what it gives."""
    server = Batching(tells)
    night = work(server, seconds=300, ceiling=16)
    known = Batching(tells)

    async def as_who_knows() -> None:
        async def ask() -> None:
            while asyncio.get_running_loop().time() < 300:
                await known.chat(REQUEST, deadline_s=60)

        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(ask(), name="ask")

    run_virtually(as_who_knows())
    assert server.written >= share * known.written
    assert night.limits[-1] >= 10


def test_a_queue_that_passes_is_not_heeded() -> None:
    """A wave of prompts waits in every server; what lasts counts, and it does not count for a new limit."""
    clock = FakeClock()
    model = PacedModel(Server(4), clock)
    wave, calm = Load(running=3, waiting=13, cache_use=0.3), Load(running=16, waiting=0, cache_use=0.3)

    def told(looks: list[Load]) -> list[Load]:
        model.limit_changed(16)
        return [seen.load for look in looks if (seen := model.measure(look, 10**6)) is not None]

    assert told([wave, wave, *[calm] * 6]) == []
    assert told([wave] * (LOOKS - 1)) == []
    assert told([wave] * LOOKS) == [wave]


def test_calls_out_of_time_count_once() -> None:
    """They make the limit half of what it was, also when many end one after another; those begun before do not."""

    async def late() -> list[int]:
        clock, limits = LoopClock(), list[int]()
        model = PacedModel(Late(), clock)
        keeper = PaceKeeper(
            model, Concurrency(ceiling=16, limit=16), FakeStore(clock), clock, "n1", limits.append
        )

        async def ask(number: int) -> None:
            with pytest.raises(ModelTimeoutError):
                await model.chat(REQUEST, deadline_s=10 + number)

        async with asyncio.TaskGroup() as group:
            pace = group.create_task(keeper.run(), name="pace")
            calls = [group.create_task(ask(number), name="call") for number in range(16)]
            await asyncio.wait(calls)
            await asyncio.sleep(10)
            pace.cancel()
        return limits

    assert run_virtually(late()) == [16, 8]


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
