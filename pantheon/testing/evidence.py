"""What attempts left behind, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pantheon.ports.evidence import Piece, Portion


@dataclass
class FakeEvidence:
    """``ports.evidence.EvidenceReader`` over dictionaries."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Folder -> artifact name -> content."""
    broken: dict[tuple[str, str], str] = field(default_factory=dict)
    """(folder, name) -> why it cannot be read."""

    def put(self, folder: str, name: str, data: bytes) -> None:
        """Leave one artifact."""
        self.files.setdefault(folder, {})[name] = data

    async def read_attempt(self, folder: str, wanted: Mapping[str, Portion]) -> Mapping[str, Piece]:
        parts = folder.split("/")
        if "\0" in folder or any(part in ("", ".", "..") for part in parts):
            return dict.fromkeys(wanted, Piece(b"", 0, f"{folder!r} is not a folder of artifacts"))
        found = {}
        for name, portion in wanted.items():
            if (folder, name) in self.broken:
                found[name] = Piece(b"", 0, self.broken[folder, name])
            elif (data := self.files.get(folder, {}).get(name)) is not None:
                start = max(len(data) - portion.max_bytes, 0) if portion.tail else 0
                found[name] = Piece(data[start : start + portion.max_bytes], len(data))
        return found
