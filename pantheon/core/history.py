"""Commits as a person's day looks at them: what a night landed, what was taken back, and what stands.

Invariant: a commit says what it is by its ``Pantheon-`` lines alone; they count wherever they stand in a message, for
who squashes commits keeps the lines and moves them.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from pantheon.core.operation import TASK_TRAILER

NIGHT_TRAILER = "Pantheon-Night"
UNDO_TRAILER = "Pantheon-Undo"
UNDONE_TRAILER = "Pantheon-Undone-Task"
_LINE = re.compile(r"^[ \t]*(Pantheon-[A-Za-z-]{1,60}): (.*)$", re.M)
_REVERTS = re.compile(r"\bThis reverts commit ([0-9a-f]{40,64})\b")


class Commit(NamedTuple):
    """One commit."""

    id: str
    parents: tuple[str, ...]
    tree: str
    at: datetime
    """When it was committed."""
    message: str

    @property
    def subject(self) -> str:
        """The first line of its message."""
        return self.message.partition("\n")[0]

    def said(self, name: str) -> tuple[str, ...]:
        """Return the values of its lines of this name."""
        return tuple(value for key, value in _LINE.findall(self.message) if key == name)

    @property
    def landed(self) -> tuple[tuple[str, str], ...]:
        """(night, task key) of every change that it brings; several where changes were squashed."""
        return tuple(zip(self.said(NIGHT_TRAILER), self.said(TASK_TRAILER), strict=False))

    @property
    def takes_back(self) -> tuple[str, ...]:
        """The commits that it takes back, by its own word."""
        return (*self.said(UNDO_TRAILER), *_REVERTS.findall(self.message))


def shown_path(path: str) -> str:
    """Return a path as a record can hold it: bytes that are no UTF-8 written out."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def find_reverts(commits: Sequence[Commit]) -> Mapping[str, str]:
    """Return commit -> the commit that takes it back; what was taken back itself takes back nothing.

    Args:
        commits: oldest first.
    """
    taken: dict[str, str] = {}
    for one in reversed(commits):
        if one.id not in taken:
            for back in one.takes_back:
                taken.setdefault(back, one.id)
    return taken


def standing(commits: Sequence[Commit]) -> tuple[Commit, ...]:
    """Return a branch's commits without those that were taken back and those that only took such ones back.

    Args:
        commits: oldest first. What takes back a commit that is not among them stands.
    """
    taken, there = find_reverts(commits), {one.id for one in commits}
    return tuple(
        one
        for one in commits
        if one.id not in taken and not (one.takes_back and there.issuperset(one.takes_back))
    )
