"""Both readers of evidence keep the same promises."""

import pytest

from pantheon.adapters.artifact_reader import FolderEvidence
from pantheon.testing.evidence import FakeEvidence
from pantheon.testing.evidence_contract import EvidenceReaderContract


class TestFakeEvidence(EvidenceReaderContract):
    @pytest.fixture
    def reader(self):
        return FakeEvidence()

    @pytest.fixture
    def leave(self, reader):
        return reader.put


class TestFolderEvidence(EvidenceReaderContract):
    @pytest.fixture
    def reader(self, tmp_path):
        return FolderEvidence(tmp_path / "artifacts")

    @pytest.fixture
    def leave(self, tmp_path):
        def put(folder, name, data):
            place = tmp_path / "artifacts" / folder
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)

        return put
