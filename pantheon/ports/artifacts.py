"""The seam to the folder of evidence."""

from collections.abc import Mapping
from typing import Protocol


class ArtifactSink(Protocol):
    """The artifacts of one attempt: append-only, each file written once or line by line, never replaced.

    Cancelled, a write is wholly done and counted, or not begun.
    """

    @property
    def folder(self) -> str:
        """The attempt's folder, relative to the artifacts root."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether anything is kept: False in a night without artifacts, for which nothing need be made."""
        ...

    async def put(self, name: str, data: bytes) -> None:
        """Write one artifact whole; with the bytes it has already, nothing happens.

        Raises:
            ArtifactError: it exists with other bytes.
        """
        ...

    async def append(self, name: str, data: bytes) -> None:
        """Add bytes to the end of an artifact that only ``append`` writes."""
        ...

    def digests(self) -> Mapping[str, str]:
        """Return name -> SHA-256 of all artifacts so far, sorted by name."""
        ...

    async def seal(self) -> None:
        """Make all artifacts so far durable."""
        ...


class ArtifactStore(Protocol):
    """All artifacts of all nights."""

    async def open_attempt(self, night: str, task: str, node: str, attempt: int) -> ArtifactSink:
        """Create the folder of one attempt. Raises ``ArtifactError`` when it exists."""
        ...

    async def put_night_file(self, night: str, name: str, data: bytes) -> str:
        """Write a file of the night as a whole (report, configuration); returns its absolute path."""
        ...
