"""YAML front matter: the block at the head of a note, taken off and put back byte for byte.

A block is front matter when the file's first line is ``---`` (a byte order mark before it is kept), a later line
is ``---`` or ``...``, and what is between begins like a YAML mapping or is empty. Everything else belongs to the
body: a first line ``---`` without a closer, or prose between two thematic breaks. A block that begins like a
mapping and is none is an error, never a guess.

Invariants:
- joining the parts of a note gives the note; setting fields never touches a byte of the body;
- setting the same fields twice is the same as once.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pantheon.core.notes.yamltext import MAX_BLOCK_BYTES, Value, edit_block, load_block, plain_value

__all__ = ["MAX_BLOCK_BYTES", "Parts", "read_block", "read_fields", "set_fields", "split_note"]

_BOM = b"\xef\xbb\xbf"
_OPENER = re.compile(rb"---[ \t]*\r?\n")
_CLOSER = re.compile(rb"^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
_KEY = re.compile(rb"\s*(?:\"[^\"]*\"|'[^']*'|[^\s:#\[{\"'-][^:]*):(?:\s|$)|\s*\{")


class Parts(NamedTuple):
    """A note taken apart; joining the parts gives the note back byte for byte."""

    head: bytes
    """Byte order mark, or nothing."""
    opener: bytes
    """``---`` with its line end; empty when there is no front matter."""
    block: bytes
    """YAML between the markers."""
    closer: bytes
    body: bytes


def split_note(data: bytes) -> Parts:
    """Take a note apart into front matter and body. Never fails: what is no front matter is body."""
    head = _BOM if data.startswith(_BOM) else b""
    rest = data[len(head) :]
    opener = _OPENER.match(rest)
    closer = None if opener is None else _CLOSER.search(rest, opener.end())
    if opener is None or closer is None:
        return Parts(head, b"", b"", b"", rest)
    block = rest[opener.end() : closer.start()]
    if not _begins_like_mapping(block):
        return Parts(head, b"", b"", b"", rest)
    return Parts(head, opener.group(), block, closer.group(), rest[closer.end() :])


def read_fields(data: bytes) -> dict[str, Any]:
    """Return a note's front matter as plain values; empty when it has none.

    Raises:
        ToolError: the block is not a YAML mapping, is too large, or uses anchors or aliases.
    """
    return read_block(split_note(data).block)


def read_block(block: bytes) -> dict[str, Any]:
    """Return what is between the markers as plain values. Raises as ``read_fields``."""
    loaded = load_block(block)
    return {} if loaded is None else {str(key): plain_value(value) for key, value in loaded.items()}


def set_fields(data: bytes, fields: Mapping[str, Value]) -> bytes:
    """Return the note with these fields set.

    Other keys, their order and layout, comments, line ends and the body stay byte for byte. A note without
    front matter gets a block in front of its body, with the body's line ends and no blank line between.

    Raises:
        ToolError: as ``read_fields``, or the block's layout does not allow the edit.
    """
    parts = split_note(data)
    first_line = parts.opener or parts.body.partition(b"\n")[0] + b"\n"
    newline = "\r\n" if first_line.endswith(b"\r\n") else "\n"
    load_block(parts.block)
    block = edit_block(parts.block.decode("utf-8"), fields, newline)
    marker = f"---{newline}".encode()
    return parts.head + (parts.opener or marker) + block.encode() + (parts.closer or marker) + parts.body


def _begins_like_mapping(block: bytes) -> bool:
    """Tell a mapping, or nothing, from prose between two thematic breaks."""
    lines = [line for line in block.splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    return not lines or _KEY.match(lines[0]) is not None
