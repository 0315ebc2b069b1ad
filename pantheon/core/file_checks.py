"""Checks of one changed file by its content alone: its licence is kept, and nobody generated it.

Each takes a path and the content before and after, and returns where and what is wrong, or an empty text. Pure and
total: no content makes one raise.
"""

import re

from pathspec import GitIgnoreSpec

HEAD_LINES = 30
_LICENCE = re.compile(
    r"SPDX-License-Identifier:[^\n]*|(?:copyright\b|\(c\)|©)[^\n]*\d{4}[^\n]*"
    r"|licen[cs]ed under[^\n]*|GNU [A-Za-z ]*General Public License[^\n]*",
    re.IGNORECASE,
)
_GENERATED = re.compile(r"@generated\b|\bDO NOT EDIT\b|\bautomatically generated\b|\bauto-?generated\b", re.I)
_GENERATED_NAMES = GitIgnoreSpec.from_lines(
    (
        "*.min.js", "*.min.css", "*.map", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml",
        "poetry.lock", "uv.lock", "Pipfile.lock", "Cargo.lock", "go.sum", "composer.lock", "Gemfile.lock",
        "*_pb2.py", "*_pb2_grpc.py", "*.pb.go", "node_modules/", "__pycache__/",
    )
)  # fmt: skip


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


def find_generated(path: str, before: bytes | None, after: bytes | None) -> str:
    """Return why a file is not one that a change is made in."""
    if _GENERATED_NAMES.match_file(path):
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
