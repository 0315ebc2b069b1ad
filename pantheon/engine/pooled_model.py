"""Several endpoints as one model client: each call goes where its prefix is, around what is lost, full or draining.

Invariants:
- every endpoint has a breaker of its own; what one breaks is asked of the next that serves the model, once each,
  inside the call's deadline;
- the pool is lost only when no endpoint that serves a model may be asked for it, and stays lost for the night until
  one may: a night needs all of its models;
- an endpoint that was drained, or lost, takes no call before it has answered a probe, and a probe wants the models
  that it had at first.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pantheon.core.canonical import digest_value
from pantheon.core.chat import ChatReply, ChatRequest
from pantheon.core.concurrency import Load
from pantheon.core.errors import (
    LocalityError,
    ModelError,
    ModelLostError,
    ModelOutputError,
    ModelRefusedError,
    ModelTimeoutError,
    PantheonError,
)
from pantheon.core.pool import Member, add_loads, choose, prefix_key
from pantheon.engine.alongside import alongside
from pantheon.engine.endpoint_models import EndpointModels
from pantheon.engine.guarded_model import GuardedModel, asked_wait_s
from pantheon.ports.clock import Clock

LOOK_S, DRAINS_S = 0.5, 2.0
"""Seconds between two looks at who is lost, and at who is draining."""
MAX_CHANGES = 1_000
"""Changes that are kept until somebody takes them; older ones are forgotten."""
LOST, BACK, DRAINING, TAKEN_BACK = "is lost", "answers again", "is draining", "is drained no more"

Tell = Callable[[str, str, str], None]
"""Told an endpoint's name, what became of it, and why; must be quick."""
ReadDrains = Callable[[], Awaitable[Mapping[str, str]]]
"""Returns endpoint -> why it is drained, as it is ordered now."""


async def _drains_nobody() -> Mapping[str, str]:
    return {}


def _tells_nobody(_name: str, _what: str, _why: str) -> None:
    """Nobody wants to know."""


@dataclass
class _Seat:
    """One endpoint in the pool."""

    weight: int
    models: EndpointModels
    guard: GuardedModel
    in_flight: int = 0
    answered: int = 0
    broken: int = 0
    drained: str = ""
    """Why it is draining; empty while it is not."""

    def member(self) -> Member:
        return Member(
            name=self.models.endpoint,
            weight=self.weight,
            models=frozenset(self.models.clients),
            in_flight=self.in_flight,
            lost=not self.guard.breaker.closed,
            draining=bool(self.drained),
        )

    @property
    def trouble(self) -> str:
        return f"draining ({self.drained})" if self.drained else self.guard.breaker.why or "well"


@dataclass
class PooledModel:
    """``ports.model.ModelClient`` in front of several endpoints.

    Args:
        endpoints: (endpoint, weight) of each; the first that serves the empty name serves the night's own model.
        clock: for breakers and waits.
        read_drains: what the operator has ordered.
        tell: told what becomes of endpoints.
    """

    endpoints: Sequence[tuple[EndpointModels, int]]
    clock: Clock
    read_drains: ReadDrains = _drains_nobody
    tell: Tell = _tells_nobody
    _seats: dict[str, _Seat] = field(init=False)
    _missed: set[str] = field(init=False, default_factory=set)
    """Models that somebody asked for in vain."""
    _changes: deque[tuple[str, str, str]] = field(
        init=False, default_factory=lambda: deque(maxlen=MAX_CHANGES)
    )

    def __post_init__(self) -> None:
        self._seats = {one.endpoint: self._seat(one, weight) for one, weight in self.endpoints}

    @property
    def endpoint(self) -> str:
        """All names; a reply says which one it was."""
        return f"pool of {', '.join(self._seats)}"

    async def chat(self, request: ChatRequest, *, deadline_s: float) -> ChatReply:
        """Ask the endpoint that routing prefers, and the next ones where it breaks; raises as ``ModelClient``."""
        key, until_s = prefix_key(request), self.clock.monotonic() + deadline_s
        failed: dict[str, ModelError] = {}
        while True:
            members = [seat.member() for seat in self._seats.values()]
            chosen = choose(members, model=request.model, key=key, tried=failed)
            if chosen is None:
                raise self._nobody(request.model, failed)
            left_s = until_s - self.clock.monotonic()
            if failed and left_s <= 0:
                broke = list(failed)[-1]
                # Not lost: the pool is well. A fault of the server's all the same, so that the attempt goes back.
                raise ModelOutputError(
                    f"endpoint {broke} broke, and no time was left to ask {chosen.name}"
                ) from failed[broke]
            seat = self._seats[chosen.name]
            seat.in_flight += 1
            try:
                reply = await seat.guard.chat(request, deadline_s=left_s)
            except (ModelRefusedError, ModelTimeoutError):
                raise
            except ModelError as error:
                failed[chosen.name] = error
                seat.broken += 1
                continue
            finally:
                seat.in_flight -= 1
            seat.answered += 1
            return reply.model_copy(update={"endpoint": chosen.name, "tries": reply.tries + len(failed)})

    async def model_name(self, *, deadline_s: float) -> str:
        """Return the name of the night's own model.

        Raises:
            ModelLostError: a model that was asked for is served by nobody who may be asked.
            ModelError: as ``ModelClient.model_name``.
        """
        self._missed = {model for model in self._missed if not self._may_ask(model)}
        if self._missed:
            raise self._nobody(min(self._missed), {})
        for seat in self._seats.values():
            if seat.member().takes(""):
                return await seat.models.clients[""].model_name(deadline_s=deadline_s)
        raise self._nobody("", {})

    async def identity(self, *, deadline_s: float) -> tuple[str, str]:
        """Return the names of all models, and a digest over what each server says of each.

        Which endpoint has which is left out, so that a night may be resumed with an endpoint more or less, so long
        as the models are the same.

        Raises:
            LocalityError: a server passes questions on to a cloud.
            ModelError: as ``ModelClient.model_name``.
        """
        told: set[tuple[str, str]] = set()
        for seat in self._seats.values():
            told |= set((await seat.models.identities(deadline_s=deadline_s)).items())
        names = dict.fromkeys(name for name, _ in sorted(told))
        return ", ".join(names), digest_value(sorted(map(list, told)))

    async def load(self) -> Load:
        """Return what the endpoints that take calls say together."""
        asked = [seat for seat in self._seats.values() if seat.guard.breaker.closed and not seat.drained]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(s.guard.load(), name=f"load of {s.models.endpoint}") for s in asked]
        return add_loads(task.result() for task in tasks)

    async def aclose(self) -> None:
        for seat in self._seats.values():
            await seat.models.aclose()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Probe who is lost, and follow what is drained, for the length of a ``with``.

        Cancellation:
            Probes under way are given up; no endpoint changes for it.
        """
        await self._follow_drains()
        keepers = {f"keeper of {name}": partial(self._keep, seat) for name, seat in self._seats.items()}
        async with alongside({"drains of the pool": self._watch_drains, **keepers}):
            yield

    def take_news(self) -> tuple[Mapping[str, tuple[int, int]], Sequence[tuple[str, str, str]]]:
        """Return what happened since the last time: calls answered and broken, and what became of endpoints."""
        counts = {n: (s.answered, s.broken) for n, s in self._seats.items() if s.answered or s.broken}
        for seat in self._seats.values():
            seat.answered = seat.broken = 0
        changes = tuple(self._changes)
        self._changes.clear()
        return counts, changes

    def _seat(self, models: EndpointModels, weight: int) -> _Seat:
        name = models.endpoint

        def opened() -> None:
            self._told(name, LOST, seat.guard.breaker.why)

        seat = _Seat(weight=weight, models=models, guard=GuardedModel(models, self.clock, opened))
        return seat

    def _told(self, name: str, what: str, why: str) -> None:
        self._changes.append((name, what, why))
        self.tell(name, what, why)

    def _may_ask(self, model: str) -> bool:
        return any(seat.member().takes(model) for seat in self._seats.values())

    def _nobody(self, model: str, failed: Mapping[str, ModelError]) -> ModelError:
        """Return why a model cannot be asked; what went wrong last where its endpoints are well all the same."""
        if failed and self._may_ask(model):
            return list(failed.values())[-1]
        self._missed.add(model)
        serving = [seat for seat in self._seats.values() if model in seat.models.clients]
        said = "; ".join(f"{seat.models.endpoint}: {seat.trouble}" for seat in serving) or "none does"
        asked_s = min((asked_wait_s(error) for error in failed.values()), default=0.0)
        wait: dict[str, Any] = {"retry_after_s": asked_s} if asked_s else {}
        what = repr(model) if model else "the night's model"
        return ModelLostError(f"no endpoint that serves {what} can be asked ({said})", **wait)

    async def _watch_drains(self) -> None:
        while True:
            await self.clock.sleep(DRAINS_S)
            await self._follow_drains()

    async def _follow_drains(self) -> None:
        ordered = await self.read_drains()
        for name, seat in self._seats.items():
            why = ordered.get(name, "")
            if why and not seat.drained:
                self._told(name, DRAINING, why)
            elif seat.drained and not why:
                # It may have been exchanged meanwhile: a probe must say that it is the one it was.
                seat.guard.breaker = seat.guard.breaker.broke("was drained", now_s=self.clock.monotonic())
                self._told(name, TAKEN_BACK, "")
            seat.drained = why

    async def _keep(self, seat: _Seat) -> None:
        while True:
            await self.clock.sleep(LOOK_S)
            now_s = self.clock.monotonic()
            before = seat.guard.breaker
            if before.closed or seat.drained or before.wait_s(now_s) > 0:
                continue
            seat.guard.breaker = before.begin_probe(now_s)
            found = await self._ask(seat)
            problem, asked_s = ("", 0.0) if found is None else (found.message, asked_wait_s(found))
            now_s = self.clock.monotonic()
            seat.guard.breaker = seat.guard.breaker.end_probe(problem, now_s=now_s, retry_after_s=asked_s)
            if seat.guard.breaker.closed:
                self._told(seat.models.endpoint, BACK, f"after {now_s - before.since_s:.0f} s")

    async def _ask(self, seat: _Seat) -> PantheonError | None:
        """Have an endpoint be what it was, and probe it; returns what went wrong."""
        try:
            await seat.models.restore()
        except (ModelError, LocalityError) as error:
            return error
        return await seat.guard.probe()
