"""A work tree's files on disk, where the disk says no."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from pantheon.adapters.git.tree_files import TEMPORARY, DiskTree
from pantheon.core.errors import ToolError

LONG = "n" * 256
"""One byte more than a name may have."""


@pytest.fixture
def tree(tmp_path: Path) -> DiskTree:
    (tmp_path / "file.md").write_bytes(b"x")
    return DiskTree(tmp_path)


@pytest.mark.parametrize("path", [LONG, f"{LONG}/x.md", "file.md/x.md", "\ud800.md", "\ud800/x.md"])
def test_every_refusal_of_the_disk_is_a_tool_error_that_names_the_path(tree: DiskTree, path: str) -> None:
    """A name that is too long, a file in the place of a folder, a name that is no text."""
    for use in (
        lambda: tree.read_bytes(path),
        lambda: tree.write_bytes(path, b"y"),
        lambda: tree.move("file.md", path),
        lambda: tree.move(path, "new.md"),
    ):
        with pytest.raises(ToolError) as caught:
            use()
        assert path[:20].encode("unicode_escape").decode() in caught.value.message.encode(
            "unicode_escape"
        ).decode().replace("\\\\", "\\")
    assert tree.read_bytes("file.md") == b"x"


@pytest.mark.parametrize("path", [LONG, f"{LONG}/x.md", "\ud800.md"])
def test_asking_for_a_name_that_cannot_be_is_refused(tree: DiskTree, path: str) -> None:
    """``exists`` leaks no system error either."""
    with pytest.raises(ToolError):
        tree.exists(path)


def test_a_full_disk_is_a_tool_error(tree: DiskTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a folder cannot be made."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(ToolError, match=r"new/x\.md: No space left"):
        tree.write_bytes("new/x.md", b"y")


def test_a_file_that_has_the_temporary_name_is_not_deleted(tmp_path: Path, tree: DiskTree) -> None:
    """A write beside it is refused, and a file of the repository stays."""
    (tmp_path / TEMPORARY).write_bytes(b"kept")
    with pytest.raises(ToolError, match="exists"):
        tree.write_bytes("file.md", b"y")
    assert (tmp_path / TEMPORARY).read_bytes() == b"kept"
    assert tree.read_bytes("file.md") == b"x"


def test_a_tree_deeper_than_the_stack_is_listed(tmp_path: Path, tree: DiskTree) -> None:
    """A repository chooses its depth."""
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("deep.md", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    try:
        assert tree.list_files() == ("d/" * 1500 + "deep.md", "file.md")
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


def test_a_missing_root_is_a_tool_error(tmp_path: Path) -> None:
    """A pool that somebody deleted does not end the night with a system error."""
    gone = DiskTree(tmp_path / "gone")
    for use in (lambda: gone.read_bytes("a.md"), gone.list_files, lambda: gone.exists("a.md")):
        with pytest.raises(ToolError):
            use()
