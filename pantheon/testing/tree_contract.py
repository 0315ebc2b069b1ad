"""What the files of every work tree must do, as a pytest suite.

A tree's own test file subclasses ``TreeContract`` and gives the fixture ``tree``: one that holds ``START`` and
the symbolic links ``LINKS``, which lead out of it.
"""

import pytest

from pantheon.core.errors import ToolError
from pantheon.ports.worktree import TreeFiles

START = {"a.md": b"a", "docs/b.md": b"b\r\n\xff", "docs/deep/c.md": b""}
LINKS = ("link.md", "linked")
"""A link in the place of a file, and one in the place of a folder."""
OUTSIDE = (
    "../x.md",
    "/etc/passwd",
    "docs/../../x.md",
    ".git/config",
    "docs/.GIT/hooks/x",
    "a\\b",
    "a\0b",
    "",
    ".",
    "a//b",
)


class TreeContract:
    """The promises of ``ports.worktree.TreeFiles``."""

    def test_files_are_listed_sorted_and_links_are_not(self, tree: TreeFiles) -> None:
        """Regular files alone."""
        assert tree.list_files() == tuple(sorted(START))

    def test_a_file_is_read_whole_or_not_at_all(self, tree: TreeFiles) -> None:
        """Bytes as they are; a file over the ceiling is refused, not cut."""
        assert {path: tree.read_bytes(path) for path in tree.list_files()} == START
        assert tree.read_bytes("docs/b.md", max_bytes=4) == START["docs/b.md"]
        with pytest.raises(ToolError, match="larger than 3 bytes"):
            tree.read_bytes("docs/b.md", max_bytes=3)

    def test_writing_creates_and_replaces(self, tree: TreeFiles) -> None:
        """Folders on the way are made."""
        tree.write_bytes("a.md", b"new")
        tree.write_bytes("x/y/z.md", b"z")
        assert tree.read_bytes("a.md") == b"new"
        assert tree.read_bytes("x/y/z.md") == b"z"

    def test_moving_keeps_the_bytes(self, tree: TreeFiles) -> None:
        """The old path is free afterwards, the new one taken."""
        tree.move("docs/b.md", "docs/d.md")
        assert not tree.exists("docs/b.md")
        assert tree.read_bytes("docs/d.md") == START["docs/b.md"]

    def test_moving_onto_something_is_refused(self, tree: TreeFiles) -> None:
        """A file, a folder and a link are never replaced, and the source stays."""
        for target in ("docs/b.md", "docs", "link.md", "a.md"):
            with pytest.raises(ToolError):
                tree.move("a.md", target)
        assert tree.read_bytes("a.md") == b"a"

    @pytest.mark.parametrize("path", OUTSIDE)
    def test_a_path_out_of_the_tree_is_refused(self, tree: TreeFiles, path: str) -> None:
        """By every method, and git's own folder too."""
        for use in (
            tree.exists,
            tree.read_bytes,
            lambda p: tree.write_bytes(p, b""),
            lambda p: tree.move(p, "n.md"),
        ):
            with pytest.raises(ToolError):
                use(path)
        with pytest.raises(ToolError):
            tree.move("a.md", path)
        assert tree.read_bytes("a.md") == b"a"

    @pytest.mark.parametrize("path", ["linked/x.md", "link.md"])
    def test_a_link_is_never_followed(self, tree: TreeFiles, path: str) -> None:
        """Neither to read nor to move; a folder that is a link takes no file."""
        with pytest.raises(ToolError):
            tree.read_bytes(path)
        with pytest.raises(ToolError):
            tree.move(path, "n.md")
        with pytest.raises(ToolError):
            tree.write_bytes("linked/x.md", b"out")

    def test_what_is_no_regular_file_is_refused(self, tree: TreeFiles) -> None:
        """A folder is no file, a file is no folder, and what is missing is named."""
        for path in ("docs", "a.md/x", "none.md"):
            with pytest.raises(ToolError, match=path.split("/")[0]):
                tree.read_bytes(path)
        for path in ("docs", "a.md/x"):
            with pytest.raises(ToolError):
                tree.write_bytes(path, b"")

    def test_being_there_is_told(self, tree: TreeFiles) -> None:
        """Files, folders and links are there."""
        assert all(tree.exists(path) for path in ("a.md", "docs", "docs/deep/c.md", "link.md"))
        assert not any(tree.exists(path) for path in ("none", "docs/none.md", "none/x.md"))

    def test_a_huge_write_is_refused(self, tree: TreeFiles) -> None:
        """A tool cannot fill the disk with one call."""
        with pytest.raises(ToolError, match="bytes"):
            tree.write_bytes("huge.md", b" " * 8_000_001)
        assert not tree.exists("huge.md")
