"""The seam to what remembers how a commit's own tests ended, so that they are run once and not for every change."""

from typing import Protocol


class BaseRuns(Protocol):
    """Bytes by key, kept from night to night; any of them may be forgotten at any time."""

    async def get(self, key: str) -> bytes | None:
        """Return what was kept under a key, None when nothing is.

        Args:
            key: a SHA-256 in hexadecimal.

        Raises:
            StoreError: it cannot be read.
        """
        ...

    async def put(self, key: str, data: bytes) -> None:
        """Keep ``data`` under a key, in place of what was there; the oldest may be forgotten for it.

        Raises:
            StoreError: it cannot be written. What was there stays.

        Cancellation:
            It is kept whole, or what was there stays.
        """
        ...
