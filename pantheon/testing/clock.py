"""A clock that tests move by hand."""

import asyncio
from datetime import UTC, datetime, timedelta


class FakeClock:
    """``ports.clock.Clock`` that stands still until ``advance``; ``sleep`` advances it itself."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, 22, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
