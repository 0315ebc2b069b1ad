"""The seam to where pull requests are: a remote, and the program that speaks with its forge. By day alone."""

from pathlib import Path
from typing import Protocol


class Forge(Protocol):
    """One remote of the user's repository with its forge."""

    @property
    def name(self) -> str:
        """What it is, in words."""
        ...

    async def push(self, branch: str, commit: str) -> None:
        """Make a branch of the remote point to a commit; never by force.

        Raises:
            GitError: the remote refuses, or cannot be reached.
        """
        ...

    async def open_request(self, branch: str, target: str, title: str, body: Path) -> str:
        """Open a pull request and return where it is.

        Args:
            branch: the remote's branch that was pushed.
            target: the branch that it is to be merged into.
            title: one line.
            body: a file with the text, Markdown.

        Raises:
            GitError: the forge refuses, or its program fails.
        """
        ...
