"""Keeps the model server as full as it pays: measures what the night's calls come to, and moves the model's slots.

Invariants:
- a measurement is over when enough calls of it have ended, or sooner when the server refuses calls or goes on saying
  that it is given too much;
- only calls that began since the latest change of the limit count;
- the server's own word is asked for beside the calls, never before one.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pantheon.core.chat import ChatReply, ChatRequest
from pantheon.core.concurrency import (
    CACHE_FULL,
    CHANGED,
    PROMPT_COST,
    Concurrency,
    Load,
    Measurement,
    PaceChange,
    lasting,
)
from pantheon.core.dag import Plan
from pantheon.core.errors import ModelOverloadedError, ModelTimeoutError
from pantheon.ports.clock import Clock
from pantheon.ports.model import ModelClient
from pantheon.ports.store import Store

LOOK_S = 2.0
"""Seconds between two looks at the server."""
SHORTEST_S = 4.0
"""Seconds that a measurement takes at least."""
LOOKS = 8
"""Looks that are put together before a server's own word counts."""


def first_limit(plan: Plan, ceiling: int, resource: str) -> Concurrency:
    """Return where a night begins: what its most demanding node needs, or one.

    Args:
        plan: the night's nodes.
        ceiling: slots at most.
        resource: what a node that asks the model holds.
    """
    floor = max((node.node.resources.get(resource, 1) for node in plan.nodes), default=1)
    return Concurrency(ceiling=max(ceiling, floor), floor=floor, limit=floor)


@dataclass
class PacedModel:
    """``ports.model.ModelClient`` around another one, with a meter.

    Args:
        client: what is asked.
        clock: for how long calls are in flight.
    """

    client: ModelClient
    clock: Clock
    _in_flight: int = 0
    _valid_s: float = field(init=False)
    """Calls that began before this time do not count."""
    _wanted: int | None = None
    """What may be in flight, while more still are."""
    _since_s: float = field(init=False)
    _changed_s: float = field(init=False)
    _busy_s: float = 0.0
    _worked: float = 0.0
    _took_s: float = 0.0
    _ended: int = 0
    _refused: int = 0
    _looks: deque[Load] = field(default_factory=lambda: deque(maxlen=LOOKS))
    """Since the latest change of the limit."""

    def __post_init__(self) -> None:
        self._valid_s = self._since_s = self._changed_s = self.clock.monotonic()

    @property
    def endpoint(self) -> str:
        return self.client.endpoint

    async def chat(self, request: ChatRequest, *, deadline_s: float) -> ChatReply:
        began_s = self._move(1)
        try:
            reply = await self.client.chat(request, deadline_s=deadline_s)
        except (ModelOverloadedError, ModelTimeoutError):
            self._refused += began_s >= self._valid_s
            raise
        finally:
            ended_s = self._move(-1)
        if began_s >= self._valid_s:
            used = reply.usage
            self._ended += 1
            self._took_s += ended_s - began_s
            self._worked += used.completion_tokens + PROMPT_COST * (used.prompt_tokens - used.cached_tokens)
        return reply

    async def model_name(self, *, deadline_s: float) -> str:
        return await self.client.model_name(deadline_s=deadline_s)

    async def load(self) -> Load:
        return await self.client.load()

    async def aclose(self) -> None:
        await self.client.aclose()

    def measure(self, load: Load, calls: int) -> Measurement | None:
        """Return what was measured since the last time, and begin anew; None while it says too little.

        The speed is what a call got a second, times the calls in flight: those that have not ended count as well.

        Args:
            load: what the server says now.
            calls: how many must have ended.
        """
        now_s = self._move(0)
        self._looks.append(load)
        looked = len(self._looks) == LOOKS
        said = lasting(self._looks) if looked else Load()
        full = said.cache_use is not None and said.cache_use >= CACHE_FULL
        trouble = bool(self._refused or said.waiting or full)
        took_s = now_s - self._since_s
        heard = looked or load.waiting is None
        if not trouble and not (heard and took_s >= SHORTEST_S and self._ended >= calls):
            return None
        in_flight = self._busy_s / max(took_s, LOOK_S)
        seen = Measurement(
            per_s=in_flight * self._worked / self._took_s if self._took_s > 0 else 0.0,
            in_flight=in_flight,
            refused=self._refused,
            load=said,
        )
        self._begin_anew()
        return seen

    def limit_changed(self, limit: int) -> None:
        """Count only calls that begin from now on, or once no more are in flight than may be."""
        self._move(0)
        self._wanted = limit
        self._looks.clear()
        self._count_from_now()

    def _count_from_now(self) -> None:
        if self._wanted is not None and self._in_flight <= self._wanted:
            self._wanted = None
        self._valid_s = math.inf if self._wanted is not None else self._changed_s
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._since_s, self._busy_s, self._worked, self._took_s = self._changed_s, 0.0, 0.0, 0.0
        self._ended = self._refused = 0

    def _move(self, by: int) -> float:
        """Change what is in flight; returns the time."""
        now_s = self.clock.monotonic()
        self._busy_s += self._in_flight * (now_s - self._changed_s)
        self._changed_s = now_s
        self._in_flight += by
        if self._wanted is not None and self._in_flight <= self._wanted:
            self._count_from_now()
        return now_s


@dataclass
class PaceKeeper:
    """Moves the model's slots while a night runs.

    Args:
        model: the metered client that the night's calls go through.
        concurrency: where to begin, with the ceiling.
        store: where a new limit is recorded.
        clock: for waiting.
        night: id of the night.
        resize: told the new number of slots; must be quick.
    """

    model: PacedModel
    concurrency: Concurrency
    store: Store
    clock: Clock
    night: str
    resize: Callable[[int], None]

    async def run(self) -> None:
        """Look, and adapt, until cancelled.

        Raises:
            StoreError: a change cannot be recorded.
        """
        self.resize(self.concurrency.limit)
        await self._change(self.concurrency.begun(await self.model.load()), 0.0)
        while True:
            await self.clock.sleep(LOOK_S)
            seen = self.model.measure(await self.model.load(), self.concurrency.calls_wanted)
            if seen is not None:
                await self._change(self.concurrency.after(seen), seen.per_s)

    async def _change(self, wanted: Concurrency, per_s: float) -> None:
        before, self.concurrency = self.concurrency, wanted
        if wanted.limit == before.limit:
            return
        self.model.limit_changed(wanted.limit)
        self.resize(wanted.limit)
        told = PaceChange(limit=wanted.limit, why=wanted.why, per_s=round(per_s, 1))
        await self.store.add_event(self.night, self.night, CHANGED, told.model_dump())
