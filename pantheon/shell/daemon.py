"""The daemon: waits for the window, runs a night in a child process, goes on waiting.

Invariants:
- one coroutine decides and acts (``core.daemon.decide_next``); signals, the tick and the night's end only wake it;
- it gives the watchdog its sign of life itself, once each time round, so a loop or a decision that hangs is noticed;
- nothing of a night stays in this process: not its memory, not its namespaces, not its faults;
- it leaves only when no night runs.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from pantheon.core.daemon import (
    Leave,
    Look,
    Patience,
    Press,
    Running,
    Situation,
    Start,
    Urgency,
    Wait,
    Work,
    decide_next,
)
from pantheon.core.errors import PantheonError
from pantheon.ports.clock import Clock
from pantheon.ports.daemon import NightProcess, Nights, Remembered, Supervisor
from pantheon.shell.daemon_outlook import Outlook, ReadRules, Say

POLL_S = 5.0
"""Seconds between two looks at the clock and at the queue's folder."""
WATCHDOG_PART = 3
"""Signs of life in each of the watchdog's periods."""
REPORT_S = 120.0
FAILED = 4


@dataclass
class _Night:
    process: NightProcess
    ends_at: datetime | None
    found: Work
    told: Urgency = Urgency.NONE
    told_at_s: float = 0.0
    code: int | None = None


class Daemon:
    """The service. One ``run`` for each instance.

    Args:
        clock: time.
        supervisor: who is told how it goes.
        nights: starts nights and finds work.
        remembered: what an earlier daemon left.
        read_rules: reads the policy; raises ``ConfigError``.
        tell: takes what a person or a log should know.
        patience: how long a night that has to end is given.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        supervisor: Supervisor,
        nights: Nights,
        remembered: Remembered,
        read_rules: ReadRules,
        tell: Say,
        patience: Patience,
    ) -> None:
        self._clock = clock
        self._supervisor = supervisor
        self._nights = nights
        self._tell = tell
        self._patience = patience
        self._outlook = Outlook(nights, remembered, read_rules, self._say)
        watchdog_s = supervisor.watchdog_s
        self._poll_s = POLL_S if watchdog_s is None else min(POLL_S, watchdog_s / WATCHDOG_PART)
        self._wake = asyncio.Event()
        self._night: _Night | None = None
        self._status = ""
        self._stops = 0
        self._reload = False
        self._side: list[asyncio.Task[None]] = []

    def stop(self) -> None:
        """End: drain the night, then leave. Said a second time: cancel the night instead of draining it."""
        self._stops += 1
        self._wake.set()

    def reload(self) -> None:
        """Read the policy again."""
        self._reload = True
        self._wake.set()

    async def run(self) -> None:
        """Serve until ``stop``.

        Raises:
            ConfigError: the policy is wrong when it starts.

        Cancellation:
            The night is killed; the next one resumes it.
        """
        await self._outlook.open()
        self._supervisor.tell(READY="1", STATUS="starting")
        try:
            async with asyncio.TaskGroup() as group:
                self._side.append(group.create_task(self._tick(), name="daemon: tick"))
                await self._serve(group)
                for task in self._side:
                    task.cancel()
        finally:
            if self._night is not None:
                self._night.process.kill()
        await self._outlook.keep_seen(self._clock.now())

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(self._poll_s)
            self._wake.set()

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._supervisor.tell(WATCHDOG="1")
            self._wake.clear()
            now = self._clock.now()
            if self._reload:
                self._reload = False
                self._supervisor.tell(RELOADING="1")
                await self._outlook.read_again()
                self._supervisor.tell(READY="1")
            await self._outlook.notice_time(now)
            await self._settle_ended(group)
            if self._night is None:
                await self._outlook.notice_changes(now)
            action = decide_next(self._situation(now))
            match action:
                case Leave():
                    self._say("stopping", "stopped", STOPPING="1")
                    return
                case Wait():
                    self._waiting(action)
                    await self._wake.wait()
                case Look():
                    await self._outlook.look(now)
                case Start():
                    await self._start(group, action)
                case Press():
                    self._press(action)

    def _situation(self, now: datetime) -> Situation:
        night, running = self._night, None
        if night is not None:
            running = Running(night.ends_at, night.told, self._clock.monotonic() - night.told_at_s)
        span = self._outlook.span(now)
        return Situation(
            now=now,
            span=span,
            last_start_s=self._outlook.last_start_s(now),
            may_land=self._outlook.may_land(now),
            land_only=self._outlook.land_only(now),
            work=self._outlook.work,
            running=running,
            rest=self._outlook.rest,
            stopping=self._stops > 0,
            impatient=self._stops > 1,
            patience=self._patience,
        )

    async def _start(self, group: asyncio.TaskGroup, wanted: Start) -> None:
        found = self._outlook.work or Work()
        try:
            process = await self._nights.start(wanted.last_start, land_only=wanted.land_only)
        except PantheonError as error:
            self._say("trouble", error.message)
            await self._outlook.judge(FAILED, found, now=self._clock.now(), asked=False)
            return
        self._night = _Night(process=process, ends_at=wanted.ends_at, found=found)
        group.create_task(self._wait_for(self._night), name="daemon: night")
        kind = "the landing of a night" if wanted.land_only else "a night"
        said = f"started {kind} (process {process.pid}): {wanted.why}"
        if wanted.last_start is not None:
            said += f"; starts nothing after {self._outlook.local(wanted.last_start)}"
        self._say("night", said)

    async def _wait_for(self, night: _Night) -> None:
        night.code = await night.process.wait()
        self._wake.set()

    async def _settle_ended(self, group: asyncio.TaskGroup) -> None:
        night = self._night
        if night is None or night.code is None:
            return
        self._night = None
        self._say("ended", f"the night ended with exit code {night.code}")
        asked = night.told is not Urgency.NONE
        left = await self._outlook.judge(night.code, night.found, now=self._clock.now(), asked=asked)
        if night.code < 0 and left.open_night and not self._stops:
            self._side.append(group.create_task(self._report(), name="daemon: report"))

    async def _report(self) -> None:
        """Write the report of a night that was killed."""
        try:
            async with asyncio.timeout(REPORT_S):
                code = await self._nights.report()
        except (PantheonError, TimeoutError) as error:
            self._say("trouble", f"the report was not written: {error or 'it took too long'}")
            return
        self._say("report", "the report of the killed night was written" if code == 0 else "no report")

    def _press(self, wanted: Press) -> None:
        if self._night is None:
            return
        self._night.told, self._night.told_at_s = wanted.urgency, self._clock.monotonic()
        if wanted.urgency is Urgency.KILLED:
            self._night.process.kill()
        else:
            self._night.process.ask()
        said = {Urgency.ASKED: "finishes what runs", Urgency.CANCELLED: "is cancelled"}
        facts = {"STOPPING": "1"} if self._stops else {}
        self._say("press", f"{wanted.why}: the night {said.get(wanted.urgency, 'is killed')}", **facts)

    def _waiting(self, wait: Wait) -> None:
        until = "" if wait.until is None else f", until {self._outlook.local(wait.until)}"
        status = f"{wait.status}{until}"
        if status != self._status:
            self._say("waiting", status)

    def _say(self, event: str, sentence: str, **facts: str) -> None:
        self._status = sentence
        self._supervisor.tell(STATUS=sentence, **facts)
        self._tell(event, sentence)
