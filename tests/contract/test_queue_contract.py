"""A queue in memory and one on disk keep the same promises."""

from pathlib import Path

import pytest

from pantheon.adapters.queue_files import FileQueue
from pantheon.ports.queue import QueueFolder
from pantheon.testing.queue import FakeQueue
from pantheon.testing.queue_contract import QueueContract


class TestFakeQueue(QueueContract):
    @pytest.fixture
    def queue(self) -> QueueFolder:
        return FakeQueue()


class TestFileQueue(QueueContract):
    @pytest.fixture
    def queue(self, tmp_path: Path) -> QueueFolder:
        return FileQueue(tmp_path / "queue")
