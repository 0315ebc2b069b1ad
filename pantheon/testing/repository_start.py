"""What the suites of a repository share: the content they start from, the person beside them, and small changes."""

from typing import Protocol

from pantheon.ports.worktree import Repository

START = {
    "a.md": b"alpha\r\nbeta\n",
    "docs/b.md": b"".join(b"line %d\n" % number for number in range(12)),
    "docs/deep/c.md": b"see a.md (x)\n\n\0\xff",
    "empty.md": b"",
}
MISSING = "0123456789" * 4
BRANCH = "pantheon/night-x"


class User(Protocol):
    """The person who works in the same repository."""

    def set_branch(self, name: str, commit: str) -> None:
        """Point a branch at a commit of the user's repository."""
        ...

    def check_out(self, branch: str) -> None:
        """Work on a branch."""
        ...


async def change(
    repository: Repository, commit: str, path: str, data: bytes, message: str = "Change\n"
) -> str:
    """Return a commit that changes one file."""
    async with repository.work_tree(commit) as tree:
        tree.files.write_bytes(path, data)
        return await tree.commit(message)


async def move(repository: Repository, commit: str, source: str, target: str) -> str:
    """Return a commit that moves one file."""
    async with repository.work_tree(commit) as tree:
        tree.files.move(source, target)
        return await tree.commit("Move\n")


def edited(number: int, text: bytes) -> bytes:
    """Return ``docs/b.md`` with one line changed."""
    return START["docs/b.md"].replace(b"line %d\n" % number, text)
