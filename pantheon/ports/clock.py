"""Time as a dependency, so that tests own it."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for people and leases, monotonic time for durations."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; cancellation leaves nothing behind."""
        ...
