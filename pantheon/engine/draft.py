"""Artifacts that one attempt's work is done for by another: kept in memory until the attempt itself takes them.

An attempt's folder is sealed when the attempt ends, also when it is cancelled; nobody else writes into it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from pantheon.core.errors import ArtifactError
from pantheon.engine.evidence import Evidence


@dataclass
class Draft:
    """``ports.artifacts.ArtifactSink`` in memory.

    Args:
        keeps: whether anything is kept.
    """

    keeps: bool = True
    _files: dict[str, bytes] = field(default_factory=dict)
    _appended: set[str] = field(default_factory=set)

    @property
    def folder(self) -> str:
        """It has none yet."""
        return ""

    async def put(self, name: str, data: bytes) -> None:
        """Keep one artifact whole. Raises ``ArtifactError`` where there is another of that name."""
        if self._files.get(name, data) != data or name in self._appended:
            raise ArtifactError(f"{name} is already written")
        self._files[name] = data

    async def append(self, name: str, data: bytes) -> None:
        """Add bytes to the end of an artifact. Raises ``ArtifactError`` where it was put whole."""
        if name in self._files and name not in self._appended:
            raise ArtifactError(f"{name} is already written")
        self._appended.add(name)
        self._files[name] = self._files.get(name, b"") + data

    def digests(self) -> Mapping[str, str]:
        """Return name -> SHA-256."""
        return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(self._files.items())}

    async def seal(self) -> None:
        """Nothing of it is durable before it is handed over."""

    async def hand_over(self, drafted: Evidence, evidence: Evidence) -> None:
        """Write everything into an attempt's own evidence.

        Args:
            drafted: the evidence that was written into this draft.
            evidence: the attempt's own.

        Raises:
            ArtifactError: it cannot be written.
        """
        evidence.tally.tool_calls += drafted.tally.tool_calls
        evidence.tally.tool_errors += drafted.tally.tool_errors
        for name, data in self._files.items():
            if name in self._appended:
                await evidence.sink.append(name, data)
            else:
                await evidence.sink.put(name, data)
