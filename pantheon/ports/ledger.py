"""The seams to a night's ledger on disk, and to the witness that remembers its checkpoints elsewhere."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol


class LedgerFile(Protocol):
    """One night's ledger: lines are added to its end and never changed."""

    async def append(self, lines: Sequence[bytes]) -> None:
        """Add lines, each without its end; they are durable when this returns.

        Raises:
            ArtifactError: they may not all be there; the ledger must be opened again before it is used.
        """
        ...

    async def put_checkpoint(self, note: bytes) -> None:
        """Replace the signed note beside the ledger. Raises ``ArtifactError``."""
        ...

    async def aclose(self) -> None:
        """Let go of the file; done again, nothing happens."""
        ...


class OpenedLedger(NamedTuple):
    """A ledger as it was found."""

    file: LedgerFile
    checkpoint: bytes | None
    """The signed note beside it."""
    cut: bytes
    """What stood behind the last whole line and was cut off; the beginning of it, when it was much."""
    cut_bytes: int


class LedgerStore(Protocol):
    """The ledgers of all nights."""

    async def open_night(self, night: str, take: Callable[[bytes], bool]) -> OpenedLedger:
        """Open a night's ledger, or begin it.

        Args:
            night: the night's id.
            take: told of each line in order, in a thread; says whether it is whole. From the first that is not,
                everything is cut off, which only an append that a crash interrupted can have left.

        Raises:
            ArtifactError: it cannot be read or written.
        """
        ...


class Witness(Protocol):
    """Remembers checkpoints where whoever can rewrite the artifacts may not reach; only grows."""

    async def remember(self, note: bytes) -> None:
        """Add a signed note; it is durable when this returns. Raises ``ArtifactError``."""
        ...

    async def notes(self) -> Sequence[bytes]:
        """Return all signed notes, the oldest first. Raises ``ArtifactError``."""
        ...
