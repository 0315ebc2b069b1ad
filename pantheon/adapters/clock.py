"""The machine's clock. The only module that reads the wall time."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """``ports.clock.Clock`` over the operating system."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
