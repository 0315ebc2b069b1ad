"""Keeps the model server as full as it pays: measures what the night's calls come to, and moves the model's slots.

Invariants:
- a measurement is over when enough calls of it have ended, or at once when the server is given too much;
- the server's own word is asked for beside the calls, never before one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from pantheon.core.chat import ChatReply, ChatRequest
from pantheon.core.concurrency import CACHE_FULL, Concurrency, Load, Measurement
from pantheon.core.dag import Plan
from pantheon.core.errors import ModelOverloadedError
from pantheon.ports.clock import Clock
from pantheon.ports.model import ModelClient
from pantheon.ports.store import Store

LOOK_S = 2.0
"""Seconds between two looks at the server."""
SHORTEST_S = 4.0
"""Seconds that a measurement takes at least."""
CALLS_EACH = 2
"""Calls that must have ended for each one that may be in flight."""
CHANGED = "concurrency"
"""Name of the event that tells of a new limit."""


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
    _since_s: float = field(init=False)
    _changed_s: float = field(init=False)
    _busy_s: float = 0.0
    _tokens: int = 0
    _ended: int = 0
    _refused: int = 0

    def __post_init__(self) -> None:
        self._since_s = self._changed_s = self.clock.monotonic()

    @property
    def endpoint(self) -> str:
        return self.client.endpoint

    async def chat(self, request: ChatRequest, *, deadline_s: float) -> ChatReply:
        self._move(1)
        try:
            reply = await self.client.chat(request, deadline_s=deadline_s)
        except ModelOverloadedError:
            self._refused += 1
            raise
        finally:
            self._move(-1)
        self._ended += 1
        used = reply.usage
        self._tokens += used.prompt_tokens - used.cached_tokens + used.completion_tokens
        return reply

    async def model_name(self, *, deadline_s: float) -> str:
        return await self.client.model_name(deadline_s=deadline_s)

    async def load(self) -> Load:
        return await self.client.load()

    async def aclose(self) -> None:
        await self.client.aclose()

    def measure(self, load: Load, limit: int) -> Measurement | None:
        """Return what was measured since the last time, and begin anew; None while it says too little.

        Args:
            load: what the server says now.
            limit: calls that may be in flight.
        """
        self._move(0)
        took_s = self._changed_s - self._since_s
        full = load.cache_use is not None and load.cache_use >= CACHE_FULL
        trouble = bool(self._refused or load.waiting or full)
        if not trouble and (took_s < SHORTEST_S or self._ended < CALLS_EACH * limit):
            return None
        seconds = max(took_s, LOOK_S)
        seen = Measurement(
            per_s=self._tokens / seconds, in_flight=self._busy_s / seconds, refused=self._refused, load=load
        )
        self._since_s, self._busy_s, self._tokens, self._ended, self._refused = self._changed_s, 0.0, 0, 0, 0
        return seen

    def _move(self, by: int) -> None:
        now_s = self.clock.monotonic()
        self._busy_s += self._in_flight * (now_s - self._changed_s)
        self._changed_s = now_s
        self._in_flight += by


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
    _settling: bool = False
    """Whether calls from before the latest change are still counted in what is measured now."""

    async def run(self) -> None:
        """Look, and adapt, until cancelled.

        Raises:
            StoreError: a change cannot be recorded.
        """
        self.resize(self.concurrency.limit)
        while True:
            await self.clock.sleep(LOOK_S)
            seen = self.model.measure(await self.model.load(), self.concurrency.limit)
            if seen is not None:
                await self._adapt(seen)

    async def _adapt(self, seen: Measurement) -> None:
        if self._settling and not seen.refused and not seen.load.waiting:
            self._settling = False
            return
        before, self.concurrency = self.concurrency, self.concurrency.after(seen)
        if self.concurrency.limit == before.limit:
            return
        self._settling = True
        self.resize(self.concurrency.limit)
        told = {"limit": self.concurrency.limit, "why": self.concurrency.why, "per_s": round(seen.per_s, 1)}
        await self.store.add_event(self.night, self.night, CHANGED, told)
