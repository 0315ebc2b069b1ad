"""The daemon: waits for the window, runs a night in a child process, goes on waiting.

Invariants:
- one coroutine decides and acts (``core.daemon.decide_next``); signals, the tick and the night's end only wake it;
- it gives the watchdog its sign of life itself, once each time round, so a loop or a decision that hangs is noticed;
- nothing of a night stays in this process: not its memory, not its namespaces, not its faults;
- it leaves only when no night runs.
"""

import asyncio
from collections.abc import Awaitable, Callable
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
from pantheon.core.daemon_judgement import REFUSED_ENDS, tell_end
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
RECORDED = frozenset({"missed", "refused", "trouble"})
"""Events that whoever looks in the morning should find."""

Record = Callable[[str, str], Awaitable[None]]
"""Takes when something happened, and what; raises ``OSError`` when it cannot be kept."""


async def _forget(when: str, sentence: str) -> None:
    """Keep no record."""


@dataclass
class _Night:
    process: NightProcess
    last_start: datetime | None
    """What it was told when it began."""
    ends_at: datetime | None
    found: Work
    land_only: bool = False
    drains_at: datetime | None = None
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
        record: keeps what went wrong for whoever looks in the morning.
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
        record: Record = _forget,
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
        self._record = record
        self._unrecorded: list[tuple[str, str]] = []
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
        await self._keep_record()
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
                if await self._outlook.read_again(now):
                    self._bind_night(now)
                self._supervisor.tell(READY="1")
            await self._outlook.notice_time(now)
            await self._settle_ended(group)
            if self._night is None:
                await self._outlook.notice_changes(now)
            await self._keep_record()
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
            told_s = self._clock.monotonic() - night.told_at_s
            running = Running(night.ends_at, night.told, told_s, night.drains_at)
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
            process = await self._nights.start(
                wanted.last_start,
                ends_at=wanted.ends_at,
                land_only=wanted.land_only,
                left_before=wanted.left_before,
            )
        except PantheonError as error:
            self._say("trouble", error.message)
            await self._outlook.judge(FAILED, found, now=self._clock.now(), asked=False)
            return
        self._night = _Night(process, wanted.last_start, wanted.ends_at, found, wanted.land_only)
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
        refusal = None
        if night.code in REFUSED_ENDS:
            refusal = await self._nights.last_word(night.process.pid)
        if not asked and (said := tell_end(night.code, refusal)):
            self._say("refused" if night.code in REFUSED_ENDS else "trouble", said)
        left = await self._outlook.judge(
            night.code, night.found, now=self._clock.now(), asked=asked, refusal=refusal
        )
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

    async def _keep_record(self) -> None:
        """Write down what went wrong since it was last done."""
        taken, self._unrecorded = self._unrecorded, []
        try:
            for when, sentence in taken:
                await self._record(when, sentence)
        except OSError as error:
            self._tell("trouble", f"the daemon's record cannot be written: {error.strerror or error}")

    def _bind_night(self, now: datetime) -> None:
        """Have the night that runs keep the window as it is now.

        It was told its last start when it began: a sooner one is a drain, a later one the next night makes use of.
        """
        if (night := self._night) is None:
            return
        last_start, night.ends_at = self._outlook.bounds(now, land_only=night.land_only)
        sooner = last_start is not None and (night.last_start is None or last_start < night.last_start)
        night.drains_at = last_start if sooner else None
        told = min((one for one in (last_start, night.last_start) if one is not None), default=None)
        if told is not None:
            end = (
                ""
                if night.ends_at is None
                else f", and has to be over at {self._outlook.local(night.ends_at)}"
            )
            self._say("night", f"the night that runs starts nothing after {self._outlook.local(told)}{end}")

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
        if event in RECORDED:
            self._unrecorded.append((self._outlook.local(self._clock.now()), sentence))
        self._status = sentence
        self._supervisor.tell(STATUS=sentence, **facts)
        self._tell(event, sentence)
