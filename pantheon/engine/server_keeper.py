"""Brings a night over an outage of its model server: holds nodes back, asks again and again, and goes on.

Invariants:
- from a breakdown until a probe has worked no node that asks the model is started; the others go on;
- an outage waits with the night's clock, so that its window and budget hold;
- what is lost for good drains the night, which the next one resumes.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from pantheon.core.errors import ModelError, ModelGoneError
from pantheon.core.outages import BACK, GONE, LOST, STILL_LOST
from pantheon.engine.guarded_model import GuardedModel, asked_wait_s
from pantheon.ports.clock import Clock
from pantheon.ports.model import ModelClient
from pantheon.ports.server import ModelServer
from pantheon.ports.store import Store

HUNG_AFTER = 2
"""Probes of a living process of ours that may be in vain before it is ended and started again."""

Tell = Callable[[str, str], None]
"""Told the name of an event and why."""


@dataclass
class ServerKeeper:
    """Keeps one night's model server in sight.

    Args:
        client: the model.
        store: where an outage is recorded.
        clock: for waiting.
        night: id of the night.
        server: the process, where it is ours.
    """

    client: ModelClient
    store: Store
    clock: Clock
    night: str
    server: ModelServer | None = None
    model: GuardedModel = field(init=False)
    """What agents and reviewers are given."""
    hold: Callable[[bool], None] = field(init=False)
    give_up: Callable[[], None] = field(init=False)
    tell: Tell = field(init=False)
    _opened: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.model = GuardedModel(self.client, self.clock, self._open)

    def join(self, *, hold: Callable[[bool], None], give_up: Callable[[], None], tell: Tell) -> None:
        """Name who is told.

        Args:
            hold: told whether nodes that ask the model must wait; must be quick.
            give_up: told that there will be no server any more.
            tell: told what happens, for people.
        """
        self.hold, self.give_up, self.tell = hold, give_up, tell

    async def run(self) -> None:
        """Wait for outages and end them, until cancelled.

        Raises:
            StoreError: an outage cannot be recorded.
        """
        while True:
            await self._opened.wait()
            self._opened.clear()
            await self._note(LOST, self.model.breaker.why)
            if not await self._wait_back():
                return

    def _open(self) -> None:
        self.hold(True)
        self._opened.set()

    async def _wait_back(self) -> bool:
        """Ask until the server answers; False when it never will."""
        in_vain = 0
        while True:
            breaker = self.model.breaker
            if (wait_s := breaker.wait_s(self.clock.monotonic())) > 0:
                await self.clock.sleep(wait_s)
                continue
            self.model.breaker = breaker.begin_probe(self.clock.monotonic())
            try:
                problem, asked_s = await self._ask(hung=in_vain >= HUNG_AFTER)
            except ModelGoneError as error:
                await self._note(GONE, error.message)
                self.give_up()
                return False
            now_s = self.clock.monotonic()
            self.model.breaker = self.model.breaker.end_probe(problem, now_s=now_s, retry_after_s=asked_s)
            if not problem:
                await self._note(BACK, f"after {now_s - breaker.since_s:.0f} s")
                self.hold(False)
                return True
            if problem != breaker.why:
                await self._note(STILL_LOST, problem)
            in_vain = 0 if in_vain >= HUNG_AFTER else in_vain + 1

    async def _ask(self, *, hung: bool) -> tuple[str, float]:
        """Mend the server where it is ours, and ask it; returns what is wrong, and the wait that it asks for."""
        try:
            if self.server is not None:
                await self.server.mend(hung=hung)
        except ModelGoneError:
            raise
        except ModelError as error:
            return error.message, 0.0
        found = await self.model.probe()
        return ("", 0.0) if found is None else (found.message, asked_wait_s(found))

    async def _note(self, name: str, why: str) -> None:
        await self.store.add_event(self.night, self.night, name, {"why": why})
        self.tell(name, why)
