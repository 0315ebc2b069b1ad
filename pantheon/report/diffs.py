"""A git diff, which may hold anything, as coloured lines and as a list of renames.

Nothing here trusts the diff: it only decides how a line looks and which names stand in its headers.
"""

import re
from itertools import groupby
from typing import Literal, NamedTuple

from pantheon.core.visible import visible, visible_line
from pantheon.report.model import DiffLine

Kind = Literal["add", "del", "hunk", "meta", "same"]
MAX_LINE = 2_000
MAX_FILES = 200
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class DiffFacts(NamedTuple):
    """What a diff says about itself."""

    paths: tuple[tuple[str, str], ...]
    """(old, new); empty where the file does not exist on that side."""
    added: int
    removed: int


def read_diff(text: str) -> DiffFacts:
    """Return the files and line counts of a diff."""
    paths: list[list[str]] = []
    added = removed = 0
    for kind, line in _classify(text):
        if kind == "add":
            added += 1
        elif kind == "del":
            removed += 1
        elif kind == "meta" and len(paths) <= MAX_FILES:
            _note_path(paths, line)
    pairs = tuple((visible_line(old), visible_line(new)) for old, new in paths[:MAX_FILES])
    return DiffFacts(pairs, added, removed)


def colour_diff(text: str) -> tuple[DiffLine, ...]:
    """Return the lines of a diff, neighbours of one sort together, overlong ones cut with a mark."""
    runs = groupby(_classify(text), key=lambda pair: pair[0])
    return tuple(
        DiffLine(kind=kind, text="\n".join(visible(_cut(line)) for _, line in run)) for kind, run in runs
    )


def _classify(text: str) -> list[tuple[Kind, str]]:
    """Return each line with its sort; inside a hunk only its counted lines are content."""
    found: list[tuple[Kind, str]] = []
    old = new = 0
    for line in text.split("\n"):
        first = line[:1]
        if old > 0 or new > 0:
            if first == "+":
                new -= 1
                found.append(("add", line))
                continue
            if first == "-":
                old -= 1
                found.append(("del", line))
                continue
            if first in (" ", ""):
                old, new = old - 1, new - 1
                found.append(("same", line))
                continue
        if line.startswith("@@ "):
            old, new = _hunk_sizes(line)
            found.append(("hunk", line))
        else:
            found.append(("meta", line))
    if found and found[-1][1] == "":
        found.pop()
    return found


def _hunk_sizes(line: str) -> tuple[int, int]:
    parts = line.split(" ")
    sizes = []
    for part, sign in zip(parts[1:3], "-+", strict=False):
        count = part.removeprefix(sign).partition(",")[2] or "1"
        sizes.append(int(count) if count.isdecimal() and len(count) < 9 else 0)
    return (sizes[0], sizes[1]) if len(sizes) == 2 else (0, 0)


def _note_path(paths: list[list[str]], line: str) -> None:
    """Take a file's old and new name from its headers, the more exact header last."""
    if line.startswith("diff --git "):
        both = line.removeprefix("diff --git ")
        # Both halves are equal unless the file was renamed, and then further headers name it.
        middle = len(both) // 2
        paths.append([_name(both[:middle]), _name(both[middle + 1 :])])
    elif not paths:
        return
    elif line.startswith(("rename from ", "copy from ")):
        paths[-1][0] = _unquote(line.partition(" from ")[2])
    elif line.startswith(("rename to ", "copy to ")):
        paths[-1][1] = _unquote(line.partition(" to ")[2])
    elif line.startswith("--- "):
        paths[-1][0] = _name(line.removeprefix("--- "))
    elif line.startswith("+++ "):
        paths[-1][1] = _name(line.removeprefix("+++ "))
    elif line.startswith("new file mode "):
        paths[-1][0] = ""
    elif line.startswith("deleted file mode "):
        paths[-1][1] = ""


def _name(side: str) -> str:
    plain = _unquote(side.rstrip("\t"))
    return "" if plain == "/dev/null" else plain[2:] if plain[:2] in ("a/", "b/") else plain


def _unquote(name: str) -> str:
    """Undo git's quoting of names with unusual bytes."""
    if len(name) < 2 or name[0] != '"' or name[-1] != '"':
        return name
    raw = _ESCAPE.sub(_unescape, name[1:-1].encode("utf-8", "surrogatepass"))
    return raw.decode("utf-8", "replace")


def _unescape(match: re.Match[bytes]) -> bytes:
    code = match.group(1)
    return bytes([int(code, 8) & 0xFF]) if code.isdigit() else _LETTERS.get(code, code)


def _cut(line: str) -> str:
    return line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]} […{len(line) - MAX_LINE} more characters]"
