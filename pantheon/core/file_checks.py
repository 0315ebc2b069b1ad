"""Checks of one changed file by its content alone: its licence is kept, and nobody generated it.

Each takes a path and the content before and after, and returns where and what is wrong, or an empty text. Pure and
total: no content makes one raise.
"""

import re
from collections.abc import Sequence

from pathspec import GitIgnoreSpec

GENERATED = (
    "*.min.js", "*.min.css", "*.map", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml",
    "poetry.lock", "uv.lock", "Pipfile.lock", "Cargo.lock", "go.sum", "composer.lock", "Gemfile.lock",
    "*_pb2.py", "*_pb2_grpc.py", "*.pb.go", "node_modules/", "__pycache__/",
)  # fmt: skip
"""Names of files that tools make, as in ``.gitignore``."""
HEAD_LINES = 30
NEW_LINE = b"\n"
_LICENCE = re.compile(
    r"SPDX-License-Identifier:[^\n]*|(?:copyright\b|\(c\)|©)[^\n]*\d{4}[^\n]*"
    r"|licen[cs]ed under[^\n]*|GNU [A-Za-z ]*General Public License[^\n]*",
    re.IGNORECASE,
)
_GENERATED = re.compile(r"@generated\b|\bDO NOT EDIT\b|\bautomatically generated\b|\bauto-?generated\b", re.I)


def find_lost_licence(_path: str, before: bytes | None, after: bytes | None) -> str:
    """Return which line of a licence header is gone."""
    if before is None or after is None:
        return ""
    kept = {" ".join(line.split()) for line in _LICENCE.findall(_head(after))}
    head = _head(before)
    for found in _LICENCE.finditer(head):
        line = found.group()
        if " ".join(line.split()) not in kept:
            return f"line {_line_of(head, found)} before: the licence header lost {line.strip()[:80]!r}"
    return ""


def find_binary(before: bytes, after: bytes) -> str:
    """Return where a file is no text; one that was not UTF-8 before need not be now, but never has a NUL."""
    place, why = after.find(b"\0"), "binary content"
    if place < 0 and _not_utf8(before) < 0:
        place, why = _not_utf8(after), "binary content, not UTF-8"
    return "" if place < 0 else f"line {after.count(NEW_LINE, 0, place) + 1}: {why}"


def _not_utf8(data: bytes) -> int:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return -1


def find_generated(path: str, before: bytes | None, after: bytes | None, patterns: Sequence[str]) -> str:
    """Return why a file is not one that a change is made in.

    Args:
        path: the file's.
        before: what it was; None for a new file.
        after: what it is; None where it is gone.
        patterns: names of files that tools make, as in ``.gitignore``.
    """
    if GitIgnoreSpec.from_lines(patterns).match_file(path):
        return "its name is that of a generated file"
    head = _head(before if before is not None else after or b"", lines=5)
    if found := _GENERATED.search(head):
        return (
            f"line {_line_of(head, found)}: it says of itself that it is generated ({found.group()[:40]!r})"
        )
    return ""


def _head(data: bytes, lines: int = HEAD_LINES) -> str:
    return "\n".join(data[:20_000].decode("utf-8", "replace").splitlines()[:lines])


def _line_of(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1
