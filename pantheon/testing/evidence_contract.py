"""What every reader of evidence must keep; a test class inherits it and gives ``reader`` and ``leave``."""

from collections.abc import Callable

from pantheon.ports.evidence import EvidenceReader, Portion

Leave = Callable[[str, str, bytes], None]
FOLDER = "night/b-t/node/001"


class EvidenceReaderContract:
    """The promises of ``ports.evidence.EvidenceReader``, for pytest.

    The subclass has two fixtures: ``reader``, and ``leave``, which leaves an artifact where the reader finds it.
    """

    async def test_an_artifact_is_read_whole(self, reader: EvidenceReader, leave: Leave) -> None:
        """Bytes come as they are, with their size."""
        leave(FOLDER, "output.json", b"\x00\xff{}")
        pieces = await reader.read_attempt(FOLDER, {"output.json": Portion(100)})
        assert pieces["output.json"] == (b"\x00\xff{}", 4, "")

    async def test_only_the_portion_is_read(self, reader: EvidenceReader, leave: Leave) -> None:
        """The head or the tail, and the size of the whole."""
        leave(FOLDER, "stdout.log", b"0123456789")
        head = await reader.read_attempt(FOLDER, {"stdout.log": Portion(4)})
        tail = await reader.read_attempt(FOLDER, {"stdout.log": Portion(4, tail=True)})
        assert head["stdout.log"] == (b"0123", 10, "")
        assert tail["stdout.log"] == (b"6789", 10, "")

    async def test_what_is_missing_is_left_out(self, reader: EvidenceReader, leave: Leave) -> None:
        """Neither a missing file nor a missing folder is an error."""
        leave(FOLDER, "output.json", b"{}")
        assert await reader.read_attempt(FOLDER, {"review.json": Portion(4)}) == {}
        assert await reader.read_attempt("night/none/node/001", {"review.json": Portion(4)}) == {}

    async def test_a_folder_outside_is_refused(self, reader: EvidenceReader, leave: Leave) -> None:
        """A path that climbs, is absolute, or is odd gives a problem and no byte."""
        leave(FOLDER, "output.json", b"{}")
        for folder in (f"{FOLDER}/../001", "../x", "/etc", "", ".", "night//b-t", "night\0/b"):
            pieces = await reader.read_attempt(folder, {"output.json": Portion(4)})
            assert pieces["output.json"].data == b""
            assert pieces["output.json"].problem
