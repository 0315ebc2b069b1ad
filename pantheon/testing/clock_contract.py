"""What every clock must do, as a pytest suite.

A clock's own test file subclasses ``ClockContract`` and gives the fixture ``clock``.
"""

import asyncio
from datetime import timedelta

from pantheon.ports.clock import Clock

SHORT_S = 0.01


class ClockContract:
    """The promises of ``ports.clock``."""

    def test_the_time_is_aware_and_in_utc(self, clock: Clock) -> None:
        """A time without a zone would be another time on another machine."""
        assert clock.now().utcoffset() == timedelta(0)

    def test_monotonic_time_never_goes_back(self, clock: Clock) -> None:
        """Each reading is at least the one before."""
        readings = [clock.monotonic() for _ in range(100)]
        assert readings == sorted(readings)

    async def test_sleeping_takes_its_time(self, clock: Clock) -> None:
        """Both times have moved on by at least what was slept, within what a timer rounds."""
        now, monotonic = clock.now(), clock.monotonic()
        await clock.sleep(SHORT_S)
        assert clock.monotonic() - monotonic >= SHORT_S * 0.9
        assert (clock.now() - now).total_seconds() >= SHORT_S * 0.9

    async def test_others_go_on_meanwhile(self, clock: Clock) -> None:
        """A sleeper gives way, also when it sleeps for no time at all."""
        order: list[str] = []

        async def other() -> None:
            order.append("other")

        async with asyncio.TaskGroup() as group:
            group.create_task(other(), name="other")
            await clock.sleep(0)
            order.append("sleeper")
        assert order == ["other", "sleeper"]

    async def test_a_cancelled_sleeper_leaves_nothing_behind(self, clock: Clock) -> None:
        """It ends at once, and only its own ``asyncio.Task`` does."""
        before = len(asyncio.all_tasks())
        async with asyncio.TaskGroup() as group:
            sleeper = group.create_task(clock.sleep(3600), name="sleeper")
            await asyncio.sleep(0)
            sleeper.cancel()
        assert len(asyncio.all_tasks()) == before
