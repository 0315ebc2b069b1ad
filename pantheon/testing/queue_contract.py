"""What every queue's folder must do, as a pytest suite.

A folder's own test file subclasses ``QueueContract`` and gives the fixture ``queue``, empty.
"""

import hashlib

import pytest

from pantheon.core.errors import StoreError
from pantheon.ports.queue import QueueFolder

LINES = (b'{"id":"a"}', b"{}", '{"goal":"für"}'.encode())
DIGEST = hashlib.sha256(b"".join(line + b"\n" for line in LINES)).hexdigest()


def keep(queue: QueueFolder, name: str, *lines: bytes) -> None:
    """Keep a batch of these lines."""
    draft = queue.open_draft()
    for line in lines:
        draft.add(line)
    queue.keep(draft, name, b"envelope of " + name.encode())
    draft.discard()


class QueueContract:
    """The promises of ``ports.queue``."""

    def test_a_batch_is_kept_as_it_was_added(self, queue: QueueFolder) -> None:
        """Lines, digest, count and envelope come back as they went in."""
        draft = queue.open_draft()
        for line in LINES:
            draft.add(line)
        assert (draft.lines, draft.digest) == (len(LINES), DIGEST)
        queue.keep(draft, "b1", b"envelope")
        draft.discard()
        assert tuple(queue.read_lines("b1")) == LINES
        assert queue.lines_digest("b1") == DIGEST
        assert queue.read_envelope("b1").rstrip(b"\n") == b"envelope"
        assert queue.has("b1")
        assert queue.lines_path("b1") == "queue/b1.jsonl"

    def test_a_draft_is_nobodys_business_until_it_is_kept(self, queue: QueueFolder) -> None:
        """Neither a draft nor a discarded one shows; discarding twice, or after keeping, is harmless."""
        draft = queue.open_draft()
        draft.add(b"{}")
        assert queue.names() == ()
        draft.discard()
        draft.discard()
        assert queue.names() == ()
        kept = queue.open_draft()
        kept.add(b"{}")
        queue.keep(kept, "b1", b"e")
        kept.discard()
        assert tuple(queue.read_lines("b1")) == (b"{}",)

    def test_batches_are_named_oldest_first(self, queue: QueueFolder) -> None:
        """In the order in which their envelopes came, whatever they are called."""
        for name in ("zz", "aa", "mm"):
            keep(queue, name, b"{}")
        assert queue.names() == ("zz", "aa", "mm")

    def test_an_envelope_may_be_renewed(self, queue: QueueFolder) -> None:
        """The lines stay, the envelope is the new one, and the batch is there once."""
        keep(queue, "b1", *LINES)
        queue.put_envelope("b1", b"another")
        assert queue.read_envelope("b1").rstrip(b"\n") == b"another"
        assert queue.lines_digest("b1") == DIGEST
        assert queue.names() == ("b1",)

    def test_what_is_not_there_is_said(self, queue: QueueFolder) -> None:
        """No batch, no digest, and an error for who reads it all the same; an envelope alone is no batch."""
        assert not queue.has("b1")
        assert queue.lines_digest("b1") is None
        with pytest.raises(StoreError):
            queue.read_envelope("b1")
        with pytest.raises(StoreError):
            list(queue.read_lines("b1"))
        queue.open_draft().discard()
        queue.put_envelope("b1", b"envelope")
        assert queue.names() == ("b1",)
        assert not queue.has("b1")

    def test_a_draft_of_another_queue_is_not_kept(self, queue: QueueFolder) -> None:
        """That would be a bug of ours, and is called one."""

        class Strange:
            digest, lines = "", 0

            def add(self, line: bytes) -> None: ...

            def discard(self) -> None: ...

        with pytest.raises(TypeError):
            queue.keep(Strange(), "b1", b"envelope")
        assert queue.names() == ()
