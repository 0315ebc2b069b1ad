"""A queue's folder in memory."""

import hashlib
from collections.abc import Iterator

from pantheon.core.errors import StoreError
from pantheon.ports.queue import BatchDraft


class FakeDraft:
    """``ports.queue.BatchDraft`` in memory."""

    def __init__(self) -> None:
        self.added: list[bytes] = []

    @property
    def digest(self) -> str:
        return hashlib.sha256(b"".join(line + b"\n" for line in self.added)).hexdigest()

    @property
    def lines(self) -> int:
        return len(self.added)

    def add(self, line: bytes) -> None:
        self.added.append(line)

    def discard(self) -> None:
        self.added = []


class FakeQueue:
    """``ports.queue.QueueFolder`` in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, list[bytes]] = {}
        self.envelopes: dict[str, bytes] = {}

    def open_draft(self) -> FakeDraft:
        return FakeDraft()

    def keep(self, draft: BatchDraft, name: str, envelope: bytes) -> None:
        if not isinstance(draft, FakeDraft):
            raise TypeError("a draft of another queue")
        self.kept[name] = list(draft.added)
        self.put_envelope(name, envelope)

    def put_envelope(self, name: str, envelope: bytes) -> None:
        self.envelopes.pop(name, None)
        self.envelopes[name] = envelope.removesuffix(b"\n") + b"\n"

    def names(self) -> tuple[str, ...]:
        return tuple(self.envelopes)

    def has(self, name: str) -> bool:
        return name in self.kept and name in self.envelopes

    def lines_digest(self, name: str) -> str | None:
        if name not in self.kept:
            return None
        return hashlib.sha256(b"".join(line + b"\n" for line in self.kept[name])).hexdigest()

    def lines_path(self, name: str) -> str:
        return f"queue/{name}.jsonl"

    def read_envelope(self, name: str) -> bytes:
        if name not in self.envelopes:
            raise StoreError(f"{name}: there is no such envelope")
        return self.envelopes[name]

    def read_lines(self, name: str) -> Iterator[bytes]:
        if name not in self.kept:
            raise StoreError(f"{name}: there are no such lines")
        yield from self.kept[name]
