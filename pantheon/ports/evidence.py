"""The seam to what attempts left behind, for those who only read."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol


class Portion(NamedTuple):
    """How much of one artifact is wanted."""

    max_bytes: int
    tail: bool = False
    """The end of the artifact instead of its beginning."""


class Piece(NamedTuple):
    """What could be read of one artifact."""

    data: bytes
    size_bytes: int
    """Size of the whole artifact."""
    problem: str = ""
    """Why it could not be read; empty when it could."""


class EvidenceReader(Protocol):
    """All artifacts of all nights, read-only. What is missing or unreadable is a value, never an error."""

    async def read_attempt(self, folder: str, wanted: Mapping[str, Portion]) -> Mapping[str, Piece]:
        """Return artifact name -> what could be read of it; names that are not there are left out.

        Args:
            folder: the attempt's folder, relative to the artifacts root; one that leads out of it is a problem
                of every wanted piece.
            wanted: artifact name -> portion.
        """
        ...
