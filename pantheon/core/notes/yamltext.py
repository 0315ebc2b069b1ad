"""Edits of a YAML block mapping that touch the lines of one key and no other byte.

A round-tripping library finds where keys stand and checks what came out; it does not write the block again,
because that would lay out anew what nobody asked to change.

Invariants:
- lines of other keys, comments and blank lines keep their bytes;
- a written text reads back as the same text, with a YAML 1.1 reader too, and is never folded;
- what comes out has been read again and holds exactly what was wanted, or the edit is refused.
"""

import io
import math
import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, TaggedScalar
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.tokens import AliasToken, AnchorToken

from pantheon.core.errors import ToolError

Value = str | list[str]

MAX_BLOCK_BYTES = 64_000
MAX_DEPTH = 50
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 ,.;()'/_+-]*[A-Za-z0-9.)]")
_WORDS_OF_YAML = frozenset("y n yes no on off true false null none nan inf".split())
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def load_block(block: bytes) -> CommentedMap | None:
    """Read a block; None when it holds no key.

    Raises:
        ToolError: it is too large, not UTF-8, not a YAML mapping, or uses anchors or aliases.
    """
    if len(block) > MAX_BLOCK_BYTES:
        raise ToolError(f"the front matter has {len(block)} bytes, more than {MAX_BLOCK_BYTES}")
    try:
        text = block.decode("utf-8")
        _refuse_tricks(text)
        loaded = _yaml().load(text)
    except (YAMLError, ValueError, RecursionError, OverflowError, LookupError, TypeError) as error:
        first = str(error).strip().split("\n")[0]
        raise ToolError(
            f"the front matter is not YAML: {first[:200]}",
            hint="Mend the block between the --- lines by hand.",
        ) from error
    if loaded is None:
        return None
    if not isinstance(loaded, CommentedMap):
        raise ToolError("the front matter is not a YAML mapping")
    return loaded


def _values(block: str) -> dict[str, Any]:
    loaded = load_block(block.encode())
    return {} if loaded is None else {str(key): plain_value(value) for key, value in loaded.items()}


def plain_value(value: Any) -> Any:
    """Return a loaded value as plain data; what compares unequal to itself or has a tag becomes text."""
    if isinstance(value, Mapping):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(str(item) for item in value)
    if isinstance(value, TaggedScalar):
        return f"{value.tag.value} {value.value}"
    if isinstance(value, float) and math.isnan(value):
        return ".nan"
    if isinstance(value, str):
        return str(value)
    return value


def edit_block(block: str, fields: Mapping[str, Value], newline: str) -> str:
    """Return the block with these keys set; a key that has its value already is not touched.

    Args:
        block: the text between the markers, as ``load_block`` accepts it.
        fields: key -> value, written in this order where new.
        newline: line end of what is written.

    Raises:
        ToolError: the block's layout does not allow the edit.
    """
    before = _values(block)
    try:
        for key, value in fields.items():
            if key not in before or before[key] != value:
                block = _with_key(block, key, value, newline)
    except YAMLError as error:
        raise ToolError("the front matter's layout does not allow to add a key") from error
    if _values(block) != {**before, **fields}:
        raise ToolError(
            "the front matter cannot be changed without changing more than was asked",
            hint="Write it as plain 'key: value' lines.",
        )
    return block


def _with_key(block: str, key: str, value: Value, newline: str) -> str:
    node = _yaml().compose(io.StringIO(block))
    if isinstance(node, MappingNode) and node.flow_style:
        return _dumped_again(block, key, value, newline)
    pairs = node.value if isinstance(node, MappingNode) else []
    indent = " " * pairs[0][0].start_mark.column if pairs else ""
    for name, held in pairs:
        if isinstance(name, ScalarNode) and name.value == key:
            return _replaced(block, name, held, _entry(indent, key, value, newline))
    if block and not block.endswith(("\n", "\r")):
        block += newline
    return block + _entry(indent, key, value, newline)


def _replaced(block: str, name: Node, held: Node, entry: str) -> str:
    """Put ``entry`` in the place of the lines of one key, keeping a comment behind a value of one line."""
    lines = _LINE.findall(block)
    first, last = name.start_mark.line, held.end_mark.line
    if last == first:
        tail = lines[first][held.end_mark.column :].strip()
        if tail.startswith("#"):
            head, end = re.match(r"(.*?)(\r?\n.*)", entry, re.DOTALL).groups()  # type: ignore[union-attr]
            entry = f"{head}  {tail}{end}"
        last = first + 1
    else:
        literal = isinstance(held, ScalarNode) and held.style in ("|", ">")
        comment = r"#" if literal else r"[ \t]*#"
        if held.end_mark.column > 0 and last < len(lines):
            last += 1
        while last > first + 1 and (not lines[last - 1].strip() or re.match(comment, lines[last - 1])):
            last -= 1
    return "".join([*lines[:first], entry, *lines[last:]])


def _dumped_again(block: str, key: str, value: Value, newline: str) -> str:
    """Set a key of a mapping that is written in braces, where keys have no lines of their own."""
    loaded = load_block(block.encode())
    assert loaded is not None
    loaded[key] = value
    out = io.StringIO()
    _yaml().dump(loaded, out)
    return out.getvalue().replace("\n", newline)


def _entry(indent: str, key: str, value: Value, newline: str) -> str:
    if isinstance(value, str):
        return f"{indent}{key}: {scalar(value)}{newline}"
    items = "".join(f"{indent}  - {scalar(item)}{newline}" for item in value)
    return f"{indent}{key}:{newline}{items}" if value else f"{indent}{key}: []{newline}"


def scalar(text: str) -> str:
    """Return a text as a YAML scalar on one line, quoted wherever a reader could take it for something else."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML:
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_UNPRINTABLE.sub(_escape, quoted)}"'


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


def _refuse_tricks(text: str) -> None:
    """Refuse anchors and aliases, with which a small text makes a huge value, and deep nesting."""
    depth = 0
    for token in _yaml().scan(text):
        name = type(token).__name__
        depth += name.endswith("StartToken") - name.endswith("EndToken")
        if depth > MAX_DEPTH:
            raise ToolError(f"the front matter is nested deeper than {MAX_DEPTH}")
        if isinstance(token, AliasToken | AnchorToken):
            raise ToolError("the front matter uses YAML anchors or aliases")


class _PlainYaml(YAML):
    """A reader that does not look through folders for extensions each time one is made; there are none."""

    def official_plug_ins(self) -> list[str]:
        return []


def _yaml() -> YAML:
    yaml = _PlainYaml(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 1_000_000
    yaml.allow_unicode = True
    return yaml
