"""The daemon: waits for the window, runs a night in a child process, goes on waiting.

Invariants:
- one coroutine decides and acts (``core.daemon.decide_next``); signals, the tick and the night's end only wake it;
- it gives the watchdog its sign of life itself, once each time round, so a loop or a decision that hangs is noticed;
- nothing of a night stays in this process: not its memory, not its namespaces, not its faults;
- it leaves only when no night runs.
"""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from pantheon.core.daemon import (
    Leave,
    Look,
    Patience,
    Press,
    Rest,
    Running,
    Situation,
    Start,
    Urgency,
    Wait,
    Work,
    after_change,
    catch_up_span,
    decide_next,
    explain_missed,
    find_missed,
    judge_end,
    wait_for_operator,
)
from pantheon.core.errors import PantheonError
from pantheon.core.window import Span, WindowPolicy, current_or_next, last_closed
from pantheon.ports.clock import Clock
from pantheon.ports.daemon import NightProcess, Nights, Remembered, Supervisor

POLL_S = 5.0
"""Seconds between two looks at the clock and at the queue's folder."""
WATCHDOG_PART = 3
"""Signs of life in each of the watchdog's periods."""
CALL_S = 10.0
"""Deadline of a call that reads the store or the files."""
LOOK_AGAIN_S = 60.0
"""After the store could not be read."""
KEEP_SEEN_S = 300.0
ASLEEP_S = 60.0
"""A longer step of the clock means that this machine slept, or that the clock was set."""
REPORT_S = 120.0
FAILED = 4

Tell = Callable[[str, str], None]
"""Takes the name of an event and a sentence."""


@dataclass(frozen=True)
class Rules:
    """The part of the policy that the daemon obeys."""

    window: WindowPolicy | None
    zone: tzinfo


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
        read_rules: Callable[[], Rules],
        tell: Tell,
        patience: Patience,
    ) -> None:
        self._clock = clock
        self._supervisor = supervisor
        self._nights = nights
        self._remembered = remembered
        self._read_rules = read_rules
        self._tell = tell
        self._patience = patience
        watchdog_s = supervisor.watchdog_s
        self._poll_s = POLL_S if watchdog_s is None else min(POLL_S, watchdog_s / WATCHDOG_PART)
        self._wake = asyncio.Event()
        self._rules = Rules(None, tzinfo_of(clock.now()))
        self._seen: datetime | None = None
        self._seen_kept: datetime | None = None
        self._stamp: Hashable = None
        self._work: Work | None = None
        self._look_at: datetime | None = None
        self._rest: Rest | None = None
        self._extra: Span | None = None
        self._night: _Night | None = None
        self._status = ""
        self._stops = 0
        self._reload = False

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
        self._rules = await asyncio.to_thread(self._read_rules)
        self._seen = await asyncio.to_thread(self._remembered.last_seen)
        self._supervisor.tell(READY="1", STATUS="starting")
        try:
            async with asyncio.TaskGroup() as group:
                ticking = group.create_task(self._tick(), name="daemon: tick")
                await self._serve(group)
                ticking.cancel()
        finally:
            if self._night is not None:
                self._night.process.kill()
        await self._keep_seen(self._clock.now())

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
                await self._read_again()
            await self._notice_time(now)
            await self._notice_changes(now)
            await self._settle_ended(group)
            action = decide_next(self._situation(now))
            match action:
                case Leave():
                    self._say("stopping", "stopped", STOPPING="1")
                    return
                case Wait():
                    self._waiting(action)
                    await self._wake.wait()
                case Look():
                    await self._look(now)
                case Start():
                    await self._start(group, action)
                case Press():
                    self._press(action)

    def _situation(self, now: datetime) -> Situation:
        night, running = self._night, None
        if night is not None:
            running = Running(night.ends_at, night.told, self._clock.monotonic() - night.told_at_s)
        span = self._span(now)
        window = self._rules.window
        return Situation(
            now=now,
            span=span,
            last_start_s=0.0 if window is None or span == self._extra else window.last_start_s,
            work=self._work,
            running=running,
            rest=None if self._work is None else wait_for_operator(self._work, self._rest, span),
            stopping=self._stops > 0,
            impatient=self._stops > 1,
            patience=self._patience,
        )

    def _span(self, now: datetime) -> Span | None:
        if self._rules.window is None:
            return None
        if self._extra is not None and now in self._extra:
            return self._extra
        return current_or_next(self._rules.window, self._rules.zone, now)

    async def _notice_time(self, now: datetime) -> None:
        """Look back when time has passed unseen: the daemon did not run, or the machine slept."""
        seen, self._seen = self._seen, now
        if self._seen_kept is None or now - self._seen_kept >= timedelta(seconds=KEEP_SEEN_S):
            await self._keep_seen(now)
        window, zone = self._rules.window, self._rules.zone
        if window is None or seen is None or now - seen < timedelta(seconds=ASLEEP_S):
            return
        missed = find_missed(last_closed(window, zone, now), seen, now)
        if missed is None or self._night is not None:
            return
        work = await self._look(now)
        self._say("missed", explain_missed(missed, seen, work, catch_up=window.catch_up))
        if window.catch_up and work:
            self._extra = catch_up_span(missed, current_or_next(window, zone, now), now)

    async def _keep_seen(self, now: datetime) -> None:
        self._seen_kept = now
        try:
            await asyncio.to_thread(self._remembered.keep_last_seen, now)
        except PantheonError as error:
            self._say("trouble", error.message)

    async def _notice_changes(self, now: datetime) -> None:
        """Forget what is known of the work when files say that it may be different."""
        if self._night is not None or self._work is None:
            return
        stamp = await self._stamped()
        again = self._look_at is not None and now >= self._look_at
        if stamp != self._stamp or again:
            self._rest = after_change(self._rest, await self._look(now))

    async def _stamped(self) -> Hashable:
        async with asyncio.timeout(CALL_S):
            return await self._nights.stamp()

    async def _look(self, now: datetime) -> Work:
        """Find out what work there is; work that cannot be read counts as none, and is looked for again."""
        self._look_at = None
        try:
            async with asyncio.timeout(CALL_S):
                self._work = await self._nights.look()
        except (PantheonError, TimeoutError) as error:
            self._say("trouble", f"the queue cannot be read: {error or 'no answer in time'}")
            self._work, self._look_at = Work(), now + timedelta(seconds=LOOK_AGAIN_S)
        # After the look, which itself may touch the store's files.
        self._stamp = await self._stamped()
        return self._work

    async def _start(self, group: asyncio.TaskGroup, wanted: Start) -> None:
        found = self._work or Work()
        try:
            process = await self._nights.start(wanted.last_start)
        except PantheonError as error:
            self._say("trouble", error.message)
            await self._judge(FAILED, found, asked=False)
            return
        self._night = _Night(process=process, ends_at=wanted.ends_at, found=found)
        group.create_task(self._wait_for(self._night), name="daemon: night")
        until = (
            "" if wanted.last_start is None else f"; starts nothing after {self._local(wanted.last_start)}"
        )
        self._say("night", f"started a night (process {process.pid}): {wanted.why}{until}")

    async def _wait_for(self, night: _Night) -> None:
        night.code = await night.process.wait()
        self._wake.set()

    async def _settle_ended(self, group: asyncio.TaskGroup) -> None:
        night = self._night
        if night is None or night.code is None:
            return
        self._night = None
        self._say("ended", f"the night ended with exit code {night.code}")
        await self._judge(night.code, night.found, asked=night.told is not Urgency.NONE)
        if night.code < 0 and self._work is not None and self._work.open_night:
            group.create_task(self._report(), name="daemon: report")

    async def _judge(self, code: int, found: Work, *, asked: bool) -> None:
        now = self._clock.now()
        work = await self._look(now)
        self._rest = judge_end(
            code, work, found=found, before=self._rest, now=now, span=self._span(now), asked=asked
        )

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

    async def _read_again(self) -> None:
        self._reload = False
        self._supervisor.tell(RELOADING="1")
        try:
            self._rules = await asyncio.to_thread(self._read_rules)
        except PantheonError as error:
            self._say("trouble", f"the old policy stays in force: {error}")
        else:
            self._say("reloaded", "the policy was read again")
            self._work, self._extra = None, None
            self._rest = None if self._rest is None or not self._rest.failures else self._rest
        self._supervisor.tell(READY="1")

    def _waiting(self, wait: Wait) -> None:
        until = "" if wait.until is None else f", until {self._local(wait.until)}"
        status = f"{wait.status}{until}"
        if status != self._status:
            self._status = status
            self._say("waiting", status)

    def _local(self, instant: datetime) -> str:
        return f"{instant.astimezone(self._rules.zone):%Y-%m-%d %H:%M %Z}"

    def _say(self, event: str, sentence: str, **facts: str) -> None:
        self._supervisor.tell(STATUS=sentence, **facts)
        self._tell(event, sentence)


def tzinfo_of(now: datetime) -> tzinfo:
    """Return the zone of an aware time."""
    if now.tzinfo is None:
        raise ValueError("a clock gives aware times")
    return now.tzinfo
