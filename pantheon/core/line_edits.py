"""The edits that lead from one text to another, line by line, in time that no text can stretch.

Lines that stand once in both texts anchor the comparison; what lies between anchors is compared the same way, a few
times over, and at last line against line where that is little. What is left is one edit that replaces all of it:
coarser, and still right.

Invariants (property-tested):
- the edits, applied, give the new text; they are in order, and between two of them stands at least one line;
- the time grows with the number of lines, whatever the lines are.
"""

import difflib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

DEPTH = 8
"""How often anchors are looked for between anchors."""
MOST_PAIRS = 4_000
"""Pairs of equal lines that are compared line against line."""


class Edit(NamedTuple):
    """One place where lines were put in place of others."""

    first: int
    """First line that is replaced."""
    last: int
    """Line after the last that is."""
    new: tuple[bytes, ...]


class _Part(NamedTuple):
    """Lines of both texts that correspond as a whole."""

    old: range
    new: range
    depth: int


def line_edits(old: Sequence[bytes], new: Sequence[bytes]) -> list[Edit]:
    """Return the edits from ``old`` to ``new``, in order."""
    found: list[Edit] = []
    parts = [_Part(range(len(old)), range(len(new)), DEPTH)]
    while parts:
        part = _trimmed(parts.pop(), old, new)
        if not part.old and not part.new:
            continue
        if between := _split(part, old, new):
            parts.extend(reversed(between))
        else:
            found.extend(_compare(part, old, new))
    return list(_joined(found))


def _trimmed(part: _Part, old: Sequence[bytes], new: Sequence[bytes]) -> _Part:
    """Leave out what both begin and end with."""
    start = _common((old[n] for n in part.old), (new[n] for n in part.new))
    mine, other = part.old[start:], part.new[start:]
    end = _common((old[n] for n in reversed(mine)), (new[n] for n in reversed(other)))
    return _Part(mine[: len(mine) - end], other[: len(other) - end], part.depth)


def _split(part: _Part, old: Sequence[bytes], new: Sequence[bytes]) -> list[_Part]:
    """Return what lies between the anchors; nothing where there are none, or where it was split often enough."""
    if not part.depth:
        return []
    mine, other = _once(part.old, old), _once(part.new, new)
    pairs = [(place, other[line]) for line, place in mine.items() if line in other]
    anchors = _rising(pairs)
    if not anchors:
        return []
    found, left, right = [], part.old.start, part.new.start
    for place, match in (*anchors, (part.old.stop, part.new.stop)):
        found.append(_Part(range(left, place), range(right, match), part.depth - 1))
        left, right = place + 1, match + 1
    return found


def _once(places: range, lines: Sequence[bytes]) -> dict[bytes, int]:
    """Return line -> place of those that stand there once, in order."""
    counts = Counter(lines[n] for n in places)
    return {lines[n]: n for n in places if counts[lines[n]] == 1}


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest run of pairs that rise on both sides; they rise on the first already."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for place, (_, match) in enumerate(pairs):
        at = bisect_left(tails, match)
        before.append(ends[at - 1] if at else -1)
        tails[at : at + 1] = [match]
        ends[at : at + 1] = [place]
    found, place = [], ends[-1] if ends else -1
    while place >= 0:
        found.append(pairs[place])
        place = before[place]
    return found[::-1]


def _compare(part: _Part, old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[Edit]:
    mine, other = [old[n] for n in part.old], [new[n] for n in part.new]
    counts = Counter(other)
    if sum(counts[line] for line in mine) > MOST_PAIRS:
        yield Edit(part.old.start, part.old.stop, tuple(other))
        return
    for kind, first, last, begin, end in difflib.SequenceMatcher(
        None, mine, other, autojunk=False
    ).get_opcodes():
        if kind != "equal":
            yield Edit(part.old.start + first, part.old.start + last, tuple(other[begin:end]))


def _joined(edits: Iterable[Edit]) -> Iterator[Edit]:
    """Yield the edits, those that touch each other as one."""
    last: Edit | None = None
    for edit in edits:
        if last is not None and last.last == edit.first:
            last = Edit(last.first, edit.last, (*last.new, *edit.new))
            continue
        if last is not None:
            yield last
        last = edit
    if last is not None:
        yield last


def _common(one: Iterable[bytes], other: Iterable[bytes]) -> int:
    """Return how many lines two texts begin with together."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
