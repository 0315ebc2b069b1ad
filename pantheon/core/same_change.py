"""Whether a change, made again on top of another commit, is still the change that was reviewed.

Invariants (property-tested):
- a file counts as the same change only when it holds the reviewed edit and what the branch did meanwhile, each at its
  own place in the base, and nothing else;
- beside the targets, links to renamed targets may follow wherever the branch has them now, and nothing else may differ;
- what cannot be told apart is another change.

Source: ADR 0018.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pantheon.core.line_edits import line_edits
from pantheon.core.notes.links import relink


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
    """Return ``base`` with both edits in it; None where they touch the same lines."""
    lines = base.splitlines(keepends=True)
    mine, other = (line_edits(lines, one.splitlines(keepends=True)) for one in (ours, theirs))
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
