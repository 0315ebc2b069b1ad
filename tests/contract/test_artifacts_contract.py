"""Artifacts in memory and on disk keep the same promises."""

from pathlib import Path

import pytest

from pantheon.adapters.artifacts import ArtifactFolder
from pantheon.ports.artifacts import ArtifactStore
from pantheon.testing.artifacts import FakeArtifacts
from pantheon.testing.artifacts_contract import ArtifactContract


class TestFakeArtifacts(ArtifactContract):
    @pytest.fixture
    def store(self) -> ArtifactStore:
        return FakeArtifacts()


class TestArtifactFolder(ArtifactContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        return ArtifactFolder(tmp_path / "artifacts")
