"""YAML front matter that round-trips: unknown keys, order, comments and the body stay byte for byte.

A block is front matter when the file's first line is ``---`` (a byte order mark before it is kept) and a later
line is ``---`` or ``...``, and what is between is a YAML mapping or empty. A first line ``---`` without a closer
is a thematic break and belongs to the body; a closed block that does not parse is an error, never a guess.
"""

import io
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from pantheon.core.errors import ToolError

MAX_BLOCK_BYTES = 64_000
_BOM = b"\xef\xbb\xbf"
_OPENER = re.compile(rb"---[ \t]*(\r?\n)")
_CLOSER = re.compile(rb"^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 ,.;()'/_+-]*[A-Za-z0-9.)]")
_WORDS_OF_YAML = frozenset("y n yes no on off true false null none nan inf".split())


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
    """Take a note apart into front matter and body."""
    head = _BOM if data.startswith(_BOM) else b""
    rest = data[len(head) :]
    opener = _OPENER.match(rest)
    if opener is None:
        return Parts(head, b"", b"", b"", rest)
    closer = _CLOSER.search(rest, opener.end())
    if closer is None:
        return Parts(head, b"", b"", b"", rest)
    block = rest[opener.end() : closer.start()]
    if not _looks_like_yaml(block):
        return Parts(head, b"", b"", b"", rest)
    return Parts(head, opener.group(), block, closer.group(), rest[closer.end() :])


def read_fields(data: bytes) -> dict[str, Any]:
    """Return a note's front matter as plain values; empty when it has none.

    Raises:
        ToolError: the block is not a YAML mapping, is too large, or uses anchors or aliases.
    """
    parts = split_note(data)
    loaded = _load(parts.block)
    return {} if loaded is None else {str(key): _plain(value) for key, value in loaded.items()}


def set_fields(data: bytes, fields: Mapping[str, str | list[str]]) -> bytes:
    """Return the note with these fields set; everything else, and the body, stays byte for byte.

    Raises:
        ToolError: as ``read_fields``.
    """
    parts = split_note(data)
    newline = b"\r\n" if (parts.opener or parts.body.split(b"\n", 1)[0] + b"\n").endswith(b"\r\n") else b"\n"
    loaded = _load(parts.block)
    mapping = CommentedMap() if loaded is None else loaded
    if parts.opener and all(mapping.get(key) == value for key, value in fields.items()):
        return data
    for key, value in fields.items():
        mapping[key] = [_safe(item) for item in value] if isinstance(value, list) else _safe(value)
    block = _dump(mapping).replace("\n", newline.decode()).encode()
    opener, closer = parts.opener or b"---" + newline, parts.closer or b"---" + newline
    if not closer.endswith(b"\n"):
        closer += newline if parts.body else b""
    return parts.head + opener + block + closer + parts.body


def _looks_like_yaml(block: bytes) -> bool:
    """Tell a mapping (or nothing) from prose between two thematic breaks."""
    lines = [line for line in block.splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    return not lines or re.match(rb"[^\s:#\[{-][^:]*:(\s|$)", lines[0]) is not None or lines[0][:1] in b"\"'{"


def _load(block: bytes) -> CommentedMap | None:
    if not block.strip():
        return None
    if len(block) > MAX_BLOCK_BYTES:
        raise ToolError(f"the front matter has {len(block)} bytes, more than {MAX_BLOCK_BYTES}")
    try:
        text = block.decode("utf-8")
        if _has_anchor(text):
            raise ToolError("the front matter uses YAML anchors or aliases")
        loaded = _yaml().load(text)
    except (YAMLError, ValueError, RecursionError, OverflowError) as error:
        first = str(error).strip().split("\n")[0]
        raise ToolError(f"the front matter is not YAML: {first[:200]}") from error
    if loaded is None:
        return None
    if not isinstance(loaded, CommentedMap):
        raise ToolError("the front matter is not a YAML mapping")
    return loaded


def _has_anchor(text: str) -> bool:
    from ruamel.yaml.tokens import AliasToken, AnchorToken

    return any(isinstance(token, AliasToken | AnchorToken) for token in _yaml().scan(text))


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 1_000_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.allow_unicode = True
    return yaml


def _dump(mapping: CommentedMap) -> str:
    out = io.StringIO()
    _yaml().dump(mapping, out)
    return out.getvalue()


def _safe(value: str) -> str:
    """Quote what a YAML 1.1 reader could take for something else than this text."""
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML and ": " not in value:
        return value
    quoted: str = DoubleQuotedScalarString(value)
    return quoted


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    return value
