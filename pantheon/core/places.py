"""Where in a diff a text stands: ties what a reviewer said of a proposal to lines of the change.

Invariants:
- only lines that the change adds are places; inside a hunk only its counted lines are content;
- nothing is guessed: a text that stands nowhere has no place.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

MIN_PART = 12
"""Characters from which a line that is only a part of the text still counts as a place of it."""
MAX_PLACES = 8
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_EDGE = "-\"'[]{},: \t"


class Place(NamedTuple):
    """One added line."""

    path: str
    """In the newer commit, as git writes it."""
    line: int
    """Its number in the newer commit, from 1."""


def find_places(diff: str, text: str) -> tuple[Place, ...]:
    """Return the added lines that hold a text: the whole of it, else its parts.

    Args:
        diff: as git writes it.
        text: what a reviewer looked at; a list stands in it as ``one, two, three``.
    """
    whole = _plain(text)
    if not whole:
        return ()
    lines = [(place, _plain(line)) for place, line in added_lines(diff)]
    found = [place for place, line in lines if whole in line]
    if not found:
        parts = {part for one in text.split(", ") if (part := _plain(one))}
        found = [
            place
            for place, line in lines
            if line and (line in parts or (len(line) >= MIN_PART and line in whole))
        ]
    return tuple(found[:MAX_PLACES])


def added_lines(diff: str) -> Iterator[tuple[Place, str]]:
    """Yield each line that a diff adds, with its place."""
    path, number, old, new = "", 0, 0, 0
    for line in diff.split("\n"):
        if old > 0 or new > 0:
            sign = line[:1]
            if sign == "+":
                yield Place(path, number), line[1:]
            if sign in ("+", " ", ""):
                number, new = number + 1, new - 1
            if sign in ("-", " ", ""):
                old -= 1
        elif line.startswith("+++ "):
            path = line[4:].rstrip("\t").removeprefix("b/")
        elif hunk := _HUNK.match(line):
            old, number, new = (1 if count is None else int(count) for count in hunk.groups())


def _plain(text: str) -> str:
    """Return a text as one compares it: one space between words, without quotes and brackets at its edges."""
    return " ".join(text.split()).strip(_EDGE)
