"""The contract of a work tree's files, kept by the fake and by the disk."""

from pathlib import Path

import pytest

from pantheon.adapters.git.tree_files import DiskTree
from pantheon.ports.worktree import TreeFiles
from pantheon.testing.tree import FakeTree
from pantheon.testing.tree_contract import LINKS, START, TreeContract


class TestFakeTree(TreeContract):
    @pytest.fixture
    def tree(self) -> TreeFiles:
        return FakeTree(START, LINKS)


class TestDiskTree(TreeContract):
    @pytest.fixture
    def tree(self, tmp_path: Path) -> TreeFiles:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "x.md").write_bytes(b"secret")
        root = tmp_path / "tree"
        for path, data in START.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        (root / "link.md").symlink_to(outside / "x.md")
        (root / "linked").symlink_to(outside)
        return DiskTree(root)
