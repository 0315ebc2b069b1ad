"""Whether a change, made again on top of another commit, is still the change that was reviewed.

Invariants (property-tested):
- a file counts as the same change only when it holds the reviewed edit and what the branch did meanwhile, each at its
  own place in the base, and nothing else;
- beside the targets, links to renamed targets may follow wherever the branch has them now, and nothing else may differ;
- what cannot be compared is another change.

Source: ADR 0018.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pantheon.core.notes.links import relink

MOST_LINES = 4_000
"""Lines between a file's first and last difference that are compared; more cannot be."""

Edit = tuple[int, int, list[bytes]]
"""First line, line after the last, new lines."""


@dataclass(frozen=True, slots=True)
class Sides:
    """One path in four commits; None where nothing is there."""

    base: bytes | None
    """Where the change started."""
    head: bytes | None
    """As it was reviewed."""
    parent: bytes | None
    """As the branch has it."""
    merged: bytes | None
    """As it would land."""


def find_other_change(paths: Mapping[str, Sides], renames: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths in which what would land is not what was reviewed, sorted.

    Args:
        paths: every path that either of the two changes touches.
        renames: old path -> new path of every target that the change renames.
    """
    came_from = {new: old for old, new in renames.items()}
    nowhere = Sides(None, None, None, None)
    found = []
    for path, sides in paths.items():
        if path in renames:
            same = sides.head is None and sides.merged is None
        elif path in came_from:
            old = paths.get(came_from[path], nowhere)
            apart = sides.base is None and sides.parent is None
            same = apart and _is_composed(Sides(old.base, sides.head, old.parent, sides.merged))
        else:
            same = _is_composed(sides) or _only_links(path, sides, renames)
        if not same:
            found.append(path)
    return tuple(sorted(found))


def compose(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """Return ``base`` with both edits in it; None where they touch the same lines or are too large to compare."""
    lines = base.splitlines(keepends=True)
    mine, other = _edits(lines, ours), _edits(lines, theirs)
    if mine is None or other is None:
        return None
    merged: list[bytes] = []
    place = 0
    edits = sorted([*mine, *other], key=lambda edit: edit[:2])
    for before, (first, last, new) in zip([None, *edits], edits, strict=False):
        # Two insertions at one place have no order, so nobody has reviewed either.
        if first < place or (before is not None and before[:2] == (first, last)):
            return None
        merged += [*lines[place:first], *new]
        place = last
    return b"".join([*merged, *lines[place:]])


def _is_composed(sides: Sides) -> bool:
    """Tell whether the merged file is the reviewed edit beside what the branch did."""
    base, head, parent, merged = sides.base, sides.head, sides.parent, sides.merged
    if head == base:
        return merged == parent
    if parent in (base, head):
        return merged == head
    if base is None or head is None or parent is None:
        return False
    return merged is not None and compose(base, head, parent) == merged


def _only_links(path: str, sides: Sides, renames: Mapping[str, str]) -> bool:
    return _relinked(path, sides.base, sides.head, renames) and _relinked(
        path, sides.parent, sides.merged, renames
    )


def _relinked(path: str, before: bytes | None, after: bytes | None, renames: Mapping[str, str]) -> bool:
    if before is None or after is None:
        return before == after
    return relink(before, path, renames) == after


def _edits(base: Sequence[bytes], changed: bytes) -> list[Edit] | None:
    new = changed.splitlines(keepends=True)
    start = _common(base, new)
    end = _common(reversed(base[start:]), reversed(new[start:]))
    old_part, new_part = base[start : len(base) - end], new[start : len(new) - end]
    if len(old_part) > MOST_LINES or len(new_part) > MOST_LINES:
        return None
    matcher = difflib.SequenceMatcher(None, old_part, new_part, autojunk=False)
    return [
        (start + first, start + last, list(new_part[begin:until]))
        for kind, first, last, begin, until in matcher.get_opcodes()
        if kind != "equal"
    ]


def _common(one: Iterable[bytes], other: Iterable[bytes]) -> int:
    """Return how many lines two texts begin with together."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
