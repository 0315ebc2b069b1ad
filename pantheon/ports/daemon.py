"""The daemon's seams: who supervises it, the nights it runs as processes of their own, and what it remembers."""

from collections.abc import Hashable
from datetime import datetime
from typing import Protocol

from pantheon.core.daemon import Work
from pantheon.core.daemon_judgement import Refusal


class Supervisor(Protocol):
    """Who started the daemon and watches it; systemd, or nobody."""

    @property
    def watchdog_s(self) -> float | None:
        """Seconds after which a daemon that gave no sign of life is killed; None when nobody watches."""
        ...

    def tell(self, **facts: str) -> None:
        """Tell facts (``READY="1"``, ``STATUS="..."``); one that cannot be told is dropped. Does not block."""
        ...


class NightProcess(Protocol):
    """A night that runs in a process of its own and goes with this one."""

    @property
    def pid(self) -> int:
        """The process's id."""
        ...

    async def wait(self) -> int:
        """Return the exit code; negative for a signal. Cancellation: the night goes on."""
        ...

    def ask(self) -> None:
        """Let it finish what runs and end. Said twice: end now, settled. Harmless when it has ended."""
        ...

    def kill(self) -> None:
        """Kill it and all that it started. Harmless when it has ended."""
        ...


class Nights(Protocol):
    """Starts nights, and says what one would find."""

    async def start(
        self,
        last_start: datetime | None,
        *,
        ends_at: datetime | None = None,
        land_only: bool = False,
        left_before: datetime | None = None,
    ) -> NightProcess:
        """Start a night. Raises ``PantheonError``.

        Args:
            last_start: nothing new starts after it.
            ends_at: nothing starts that is not expected to be finished by then.
            land_only: whether nothing starts but merges.
            left_before: of what closed nights have not reached, it takes only what those have left that began before
                this; None for all of it.
        """
        ...

    async def last_word(self, pid: int) -> Refusal | None:
        """Return why the night that had this process did not start; None when it did not say."""
        ...

    async def look(self) -> Work:
        """Return what work there is. Raises ``PantheonError``."""
        ...

    async def stamp(self) -> Hashable:
        """Return a value that differs when the queue, the store or the configuration may have changed; cheap."""
        ...

    async def report(self) -> int:
        """Have the newest night's report written, after one that could not do it itself; returns an exit code."""
        ...


class Remembered(Protocol):
    """What outlives the daemon."""

    async def last_seen(self) -> datetime | None:
        """Return when a daemon was last known to run; None for never."""
        ...

    async def keep_last_seen(self, now: datetime) -> None:
        """Remember that a daemon runs now. Raises ``StoreError``."""
        ...
