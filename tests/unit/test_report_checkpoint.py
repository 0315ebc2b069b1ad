"""The report carries the night's checkpoint, which is a witness for whoever keeps the report."""

import pytest

from pantheon.core.checkpoint import Checkpoint, write_note
from pantheon.report.evidence import read_checkpoint
from pantheon.testing.evidence import FakeEvidence

POINT = Checkpoint(origin="pantheon.local/night/n1/c", size=27, root="ab" * 32)


async def test_it_is_read_from_the_nights_folder() -> None:
    """Size and root are those of the note beside the ledger."""
    evidence = FakeEvidence()
    evidence.put("n1", "checkpoint", write_note(POINT.text(), POINT.origin, bytes(32), bytes(64)))
    assert await read_checkpoint(evidence, "n1") == POINT


@pytest.mark.parametrize("data", [b"", b"\xff", b"a\n1\nb\n", None])
async def test_a_report_does_without(data: bytes | None) -> None:
    """A night without a checkpoint, or with something else in its place, gets its report all the same."""
    evidence = FakeEvidence()
    if data is not None:
        evidence.put("n1", "checkpoint", data)
    assert await read_checkpoint(evidence, "n1") is None
