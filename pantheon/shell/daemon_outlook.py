"""What the daemon knows: the rules in force, the window, what work there is, and why it may have to wait.

Invariants:
- work is looked for when a file says that it may be different, and never more often;
- what cannot be read counts as no work, is told once each time, and is looked for again;
- the time when a daemon was last seen is kept, so that a window which passed unseen is noticed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from pantheon.core.daemon import Rest, Work
from pantheon.core.daemon_judgement import Refusal, after_change, judge_end, wait_for_operator
from pantheon.core.errors import PantheonError
from pantheon.core.missed_window import catch_up_span, explain_missed, find_missed, find_missed_rest
from pantheon.core.window import LandingHours, Span, WindowPolicy, current_or_next, last_closed
from pantheon.ports.daemon import Nights, Remembered

CALL_S = 10.0
"""Deadline of a call that reads the store or the files."""
LOOKS = 3
"""Times that the store is read until nothing changed meanwhile."""
LOOK_AGAIN_S = 60.0
"""After the store could not be read."""
KEEP_SEEN_S = 300.0
ASLEEP_S = 60.0
"""A longer step of the clock means that this machine slept, or that the clock was set."""

Say = Callable[[str, str], None]
"""Takes the name of an event and a sentence."""


@dataclass(frozen=True)
class Rules:
    """The part of the policy that the daemon obeys."""

    window: WindowPolicy | None
    zone: tzinfo
    landing: LandingHours | None = None
    """When merges may start; None for any time."""


ReadRules = Callable[[], Awaitable[Rules]]
"""Reads the policy; raises ``ConfigError``."""


class Outlook:
    """The daemon's knowledge.

    Args:
        nights: finds work.
        remembered: what an earlier daemon left.
        read_rules: reads the policy; raises ``ConfigError``.
        say: takes what a person or a log should know.
    """

    def __init__(self, nights: Nights, remembered: Remembered, read_rules: ReadRules, say: Say) -> None:
        self._nights = nights
        self._remembered = remembered
        self._read_rules = read_rules
        self._say = say
        self._rules = Rules(None, UTC)
        self._seen: datetime | None = None
        self._seen_kept: datetime | None = None
        self._stamp: Hashable = None
        self._look_at: datetime | None = None
        self._extra: Span | None = None
        """The window that is caught up, from its own opening until what was missed is made up for."""
        self.work: Work | None = None
        """What was found; None when nobody has looked."""
        self.rest: Rest | None = None

    async def open(self) -> None:
        """Read rules and memory. Raises ``ConfigError``."""
        self._rules = await self._read_rules()
        self._seen = await self._remembered.last_seen()

    async def read_again(self, now: datetime) -> bool:
        """Read the rules again; those in force stay when the new ones are wrong. Tells whether there are new ones."""
        try:
            self._rules = await self._read_rules()
        except PantheonError as error:
            self._say("trouble", f"the old policy stays in force: {error}")
            return False
        self._say("reloaded", "the policy was read again")
        self.work, self._extra = None, self._still_extra(now)
        # What was refused may be allowed now, a server may be at the new address; a crash has no part in the policy.
        if self.rest is not None and (self.rest.for_server or not self.rest.failures):
            self.rest = None
        return True

    def span(self, now: datetime) -> Span | None:
        """Return the window that counts now: one that is open, else the one that opens next; None: always open.

        Where no night may begin, and changes wait to land, that is the merge window.
        """
        span = self._night_span(now)
        return span if span is None or not self._lands_in(span, now) else self._landing_span(now)

    def land_only(self, now: datetime) -> bool:
        """Tell whether the window that counts now is the merge window, in which nothing but landing may start."""
        span = self._night_span(now)
        return span is not None and self._lands_in(span, now)

    def may_land(self, now: datetime) -> bool:
        """Tell whether merges may start now."""
        return self._rules.landing is None or self._rules.landing.are_open(now)

    def last_start_s(self, now: datetime) -> float:
        """Return the seconds before the end of the window that counts now at which nothing new starts."""
        window, span = self._rules.window, self._night_span(now)
        if window is None or span == self._extra or self.land_only(now):
            return 0.0
        return float(window.last_start_s)

    def bounds(self, now: datetime, *, land_only: bool) -> tuple[datetime | None, datetime | None]:
        """Return when a night that runs now has to stop starting anything, and when it has to be over.

        Args:
            now: the time, aware.
            land_only: whether it does nothing but land.

        Returns:
            None twice for no end; ``now`` twice where no window is open any more.
        """
        window, span = self._rules.window, self._night_span(now)
        if window is None or span is None:
            return None, None
        landing = self._landing_span(now) if land_only else None
        if landing is not None and now in landing:
            return landing.closes_at, landing.closes_at
        if now not in span:
            return now, now
        last_start_s = 0.0 if span == self._extra else float(window.last_start_s)
        return span.closes_at - timedelta(seconds=last_start_s), span.closes_at

    def _still_extra(self, now: datetime) -> Span | None:
        """Return what is left of the time to catch up under the rules in force; None when there is none."""
        window, extra = self._rules.window, self._extra
        if window is None or extra is None or not window.catch_up or now not in extra:
            return None
        following = current_or_next(window, self._rules.zone, now)
        return (
            replace(extra, closes_at=min(extra.closes_at, following.opens_at))
            if following.opens_at > now
            else None
        )

    def _night_span(self, now: datetime) -> Span | None:
        if self._rules.window is None:
            return None
        if self._extra is not None and now in self._extra:
            return self._extra
        return current_or_next(self._rules.window, self._rules.zone, now)

    def _landing_span(self, now: datetime) -> Span | None:
        return None if self._rules.landing is None else self._rules.landing.span(now)

    def _lands_in(self, span: Span, now: datetime) -> bool:
        """Tell whether the merge window is what comes first for what waits to land, ``span`` being that of nights."""
        landing, window = self._landing_span(now), self._rules.window
        if landing is None or window is None or not (self.work is None or self.work.to_land):
            return False
        last_start_s = 0.0 if span == self._extra else float(window.last_start_s)
        if span.opens_at <= now < span.closes_at - timedelta(seconds=last_start_s):
            return False
        return landing.opens_at <= now or (now not in span and landing.opens_at < span.opens_at)

    def local(self, instant: datetime) -> str:
        """Return a time as a clock on the wall shows it, with its zone."""
        return f"{instant.astimezone(self._rules.zone):%Y-%m-%d %H:%M %Z}"

    async def notice_time(self, now: datetime) -> None:
        """Look back when time has passed unseen: the daemon did not run, or the machine slept."""
        seen, self._seen = self._seen, now
        if self._seen_kept is None or abs(now - self._seen_kept) >= timedelta(seconds=KEEP_SEEN_S):
            await self.keep_seen(now)
        window, zone = self._rules.window, self._rules.zone
        if seen is not None and seen - now >= timedelta(seconds=ASLEEP_S):
            # The clock was set back: what was missed by the wrong time may not have been.
            self._extra = None
        if window is None or seen is None or now - seen < timedelta(seconds=ASLEEP_S):
            return
        last_start_s = float(window.last_start_s)
        # One that is open still has nothing to give either, once its last start has passed.
        as_of = now + timedelta(seconds=last_start_s)
        last = last_closed(window, zone, as_of)
        whole = find_missed(last, seen, as_of)
        missed = whole or find_missed_rest(last, seen, as_of, last_start_s=last_start_s)
        if last is None or missed is None:
            return
        # What is caught up belongs to that window: what a night has left in it is the next one's.
        work = (await self.look(now)).due(last.opens_at)
        if not (whole or work.can_be_done(may_land=True, land_only=False)):
            return
        may_land = self.may_land(now)
        told = explain_missed(missed, seen, work, catch_up=window.catch_up, may_land=may_land)
        self._say("missed", told)
        if window.catch_up and work.can_be_done(may_land=may_land, land_only=False):
            following = current_or_next(window, zone, max(now, missed.closes_at))
            extra = catch_up_span(missed, following, now)
            self._extra = None if extra is None else replace(extra, opens_at=last.opens_at)

    async def keep_seen(self, now: datetime) -> None:
        """Remember that a daemon runs."""
        self._seen_kept = now
        try:
            await self._remembered.keep_last_seen(now)
        except PantheonError as error:
            self._say("trouble", error.message)

    async def notice_changes(self, now: datetime) -> None:
        """Look again when files say that what is known of the work may be wrong."""
        if self.work is None:
            return
        again = self._look_at is not None and now >= self._look_at
        if again or await self._stamped() != self._stamp:
            work = await self.look(now)
            self.rest = after_change(self.rest, work)

    async def look(self, now: datetime) -> Work:
        """Find out what work there is, and remember it."""
        self._look_at = None
        self.work = await self._look(now)
        self.rest = wait_for_operator(self.rest, self.work, now=now, span=self.span(now))
        return self.work

    async def _look(self, now: datetime) -> Work:
        """Read the store until nothing changed meanwhile: reading may touch its files, and that is no news later."""
        work, after = Work(), await self._stamped()
        for _ in range(LOOKS):
            # From before the look: what comes during the last one is found by the next.
            self._stamp = after
            try:
                async with asyncio.timeout(CALL_S):
                    work = await self._nights.look()
            except (PantheonError, TimeoutError) as error:
                self._say("trouble", f"the queue cannot be read: {error or 'no answer in time'}")
                self._look_at = now + timedelta(seconds=LOOK_AGAIN_S)
                return Work()
            after = await self._stamped()
            if after == self._stamp:
                break
        return work

    async def judge(
        self, code: int, found: Work, *, now: datetime, asked: bool, refusal: Refusal | None = None
    ) -> Work:
        """Decide whether the next night has to wait, after one ended; returns what work is left.

        Args:
            code: its exit code; negative for a signal.
            found: what there was when it started.
            now: the time, aware.
            asked: whether the daemon told it to end.
            refusal: what it said when it was refused.
        """
        before, self.rest = self.rest, None
        work = await self.look(now)
        span = self.span(now)
        judged = judge_end(
            code, work, found=found, before=before, now=now, span=span, asked=asked, refusal=refusal
        )
        self.rest = judged or self.rest
        return work

    async def _stamped(self) -> Hashable:
        try:
            async with asyncio.timeout(CALL_S):
                return await self._nights.stamp()
        except TimeoutError:
            return None
