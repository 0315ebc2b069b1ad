"""A change that cannot land: what was wanted, what stands there now, and in which files."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Literal

from pantheon.core.model import Frozen

MOST_BYTES = 200_000
"""Of all differences together; what is beyond is left out, and said."""
MOST_LINES = 5_000
"""A file with more is named, not shown."""

Became = Literal["added", "changed", "deleted", "as it was"]
Versions = tuple[bytes | None, bytes | None, bytes | None]
"""A file at the base, in the change, and on the night's branch; None where it is not there."""


class ConflictFile(Frozen):
    """One file that a change and the night's branch disagree about."""

    path: str
    wanted: Became
    """What the change does to it."""
    now: Became
    """What the branch has done to it since the change was made."""


class Conflict(Frozen):
    """Why a change does not land."""

    reason: str
    base: str
    head: str
    parent: str
    """The night's branch, as it was met."""
    files: tuple[ConflictFile, ...]


def describe_conflict(
    reason: str, *, base: str, head: str, parent: str, files: Mapping[str, Versions]
) -> Conflict:
    """Return a conflict as data.

    Args:
        reason: why the change does not land, in words.
        base: commit that the change started from.
        head: commit of the change.
        parent: commit of the night's branch.
        files: path -> its versions.
    """
    return Conflict(
        reason=reason,
        base=base,
        head=head,
        parent=parent,
        files=tuple(
            ConflictFile(path=path, wanted=_became(before, wanted), now=_became(before, now))
            for path, (before, wanted, now) in sorted(files.items())
        ),
    )


def conflict_patch(files: Mapping[str, Versions]) -> bytes:
    """Return, file by file, what was wanted and what the branch did, as two differences from the same base."""
    parts: list[bytes] = []
    size = 0
    for path, (before, wanted, now) in sorted(files.items()):
        for side, after in (("wanted", wanted), ("now", now)):
            part = b"".join(_difference(path, side, before, after))
            size += len(part)
            if size > MOST_BYTES:
                return b"".join([*parts, b"# more than %d bytes; the rest is left out\n" % MOST_BYTES])
            parts.append(part)
    return b"".join(parts)


def _became(before: bytes | None, after: bytes | None) -> Became:
    if before == after:
        return "as it was"
    if before is None:
        return "added"
    return "deleted" if after is None else "changed"


def _difference(path: str, side: str, before: bytes | None, after: bytes | None) -> Iterator[bytes]:
    name = path.encode("utf-8", "replace")
    yield b"# %s: %s, %s\n" % (name, side.encode(), _became(before, after).encode())
    old, new = (b"" if one is None else one for one in (before, after))
    if max(old.count(b"\n"), new.count(b"\n")) > MOST_LINES:
        yield b"# more than %d lines; not shown\n" % MOST_LINES
        return
    lines = difflib.diff_bytes(
        difflib.unified_diff,
        old.splitlines(keepends=True),
        new.splitlines(keepends=True),
        b"base/" + name,
        side.encode() + b"/" + name,
    )
    for line in lines:
        yield line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"
