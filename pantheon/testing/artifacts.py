"""Artifacts in memory."""

import hashlib
from collections.abc import Mapping

from pantheon.core.errors import ArtifactError


class FakeSink:
    """``ports.artifacts.ArtifactSink`` in memory."""

    keeps = True

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.files: dict[str, bytes] = {}
        self.durable: dict[str, bytes] = {}
        """What a power loss would leave."""
        self._appended: set[str] = set()

    @property
    def folder(self) -> str:
        return self._folder

    async def put(self, name: str, data: bytes) -> None:
        if name in self.files and (name in self._appended or self.files[name] != data):
            raise ArtifactError(f"{self._folder}/{name} is already written")
        _check_name(name)
        self.files[name] = data

    async def append(self, name: str, data: bytes) -> None:
        if name in self.files and name not in self._appended:
            raise ArtifactError(f"{self._folder}/{name} is already written")
        _check_name(name)
        self._appended.add(name)
        self.files[name] = self.files.get(name, b"") + data

    def digests(self) -> Mapping[str, str]:
        return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(self.files.items())}

    async def seal(self) -> None:
        self.durable = dict(self.files)


class FakeArtifacts:
    """``ports.artifacts.ArtifactStore`` in memory."""

    def __init__(self) -> None:
        self.attempts: dict[str, FakeSink] = {}
        """Folder -> its artifacts."""
        self.night_files: dict[str, bytes] = {}

    async def open_attempt(self, night: str, task: str, node: str, attempt: int) -> FakeSink:
        parts = (night, task.replace("/", "-"), node, f"{attempt:03}")
        for part in parts:
            _check_name(part)
        folder = "/".join(parts)
        if folder in self.attempts:
            raise ArtifactError(f"{folder} exists already; attempts are never overwritten")
        self.attempts[folder] = FakeSink(folder)
        return self.attempts[folder]

    async def put_night_file(self, night: str, name: str, data: bytes) -> str:
        _check_name(night)
        _check_name(name)
        self.night_files[f"{night}/{name}"] = data
        return f"/{night}/{name}"


def _check_name(name: str) -> None:
    if not name or name.startswith(".") or not name.isascii() or set(name) & set("/\\\0\n "):
        raise ArtifactError(f"{name!r} cannot be part of an artifact's path")
