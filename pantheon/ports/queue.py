"""The seam to the queue's folder: frozen lines and their attestations."""

from collections.abc import Iterator
from typing import Protocol


class BatchDraft(Protocol):
    """Lines on their way to becoming a batch. Synchronous: the caller works in a thread."""

    @property
    def digest(self) -> str:
        """SHA-256 of what was added so far."""
        ...

    @property
    def lines(self) -> int:
        """Number of lines added so far."""
        ...

    def add(self, line: bytes) -> None:
        """Add one canonical line, without its newline. Raises ``StoreError``."""
        ...

    def discard(self) -> None:
        """Forget everything; harmless after ``keep``, and a second time."""
        ...


class QueueFolder(Protocol):
    """The queue's folder. Synchronous: the caller works in a thread. Raises ``StoreError``."""

    def open_draft(self) -> BatchDraft:
        """Begin a batch that nobody sees until it is kept."""
        ...

    def keep(self, draft: BatchDraft, name: str, envelope: bytes) -> None:
        """Put lines and envelope in place under ``name``, durably; lines first, so that an envelope implies them."""
        ...

    def put_envelope(self, name: str, envelope: bytes) -> None:
        """Give lines that are in place a new envelope, durably."""
        ...

    def names(self) -> tuple[str, ...]:
        """Return the names of all batches that have an envelope, oldest first."""
        ...

    def has(self, name: str) -> bool:
        """Tell whether both files of a batch are there."""
        ...

    def lines_digest(self, name: str) -> str | None:
        """Return the SHA-256 of a batch's lines as they are now; None when there are none."""
        ...

    def lines_path(self, name: str) -> str:
        """Return where a batch's lines are, relative to the repository."""
        ...

    def read_envelope(self, name: str) -> bytes:
        """Return a batch's envelope."""
        ...

    def read_lines(self, name: str) -> Iterator[bytes]:
        """Yield a batch's lines without their newlines."""
        ...
