"""Whether a changed file still parses, by its type: JSON, TOML, YAML, Python, JavaScript, Markdown's front matter.

Pure and total: no content makes it raise, and nothing is executed. Python is read by its own parser, YAML only as
events (no value is built, no alias expanded), JavaScript by tree-sitter's grammar.

Accepted trade-offs: the grammar for JavaScript recovers and is a little lenient (``{a: 1,, b}`` passes); TypeScript
is not parsed.
"""

import ast
import json
import posixpath
import tomllib
import warnings
from collections.abc import Callable, Mapping
from functools import cache

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from tree_sitter import Language, Node, Parser, Tree

from pantheon.core.notes.frontmatter import split_note

MAX_PARSED_BYTES = 5_000_000
MAX_SCRIPT_BYTES = 500_000
"""Of JavaScript; what is written to be ambiguous takes its parser a second for each 50,000 bytes."""
MAX_TOML_BYTES = 500_000
MAX_DEPTH = 200
"""Of YAML."""
MAX_DOTS = 200
"""In one line of TOML."""
SCRIPTS = (".js", ".mjs", ".cjs", ".jsx")


class _BrokenError(Exception):
    """Text does not parse.

    Args:
        line: where, from 1; None when the parser does not say.
        why: in its words.
    """

    def __init__(self, line: int | None, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.why = why


def find_unparsable(path: str, before: bytes | None, after: bytes | None) -> str:
    """Return where and why a file does not parse any more; a file that did not before need not now."""
    suffix = posixpath.splitext(path)[1].lower()
    parse = _PARSERS.get(suffix)
    if parse is None or after is None:
        return ""
    limit = _LIMITS.get(suffix, MAX_PARSED_BYTES)
    if why := _why_not(parse, after, limit):
        broken_before = before is not None and bool(_why_not(parse, before, limit))
        return "" if broken_before else why
    return ""


def parse_python(data: bytes) -> ast.Module | None:
    """Return the tree of a module; None when it does not parse."""
    if _why_not(_parse_python, data, MAX_PARSED_BYTES):
        return None
    return _parse_python(data.decode("utf-8"))


def parse_script(data: bytes) -> Tree | None:
    """Return the tree of a JavaScript file; None when it does not parse."""
    if _why_not(_parse_script, data, MAX_SCRIPT_BYTES):
        return None
    return _script_parser().parse(data)


def _why_not(parse: Callable[[str], object], data: bytes, limit: int) -> str:
    if len(data) > limit:
        return f"does not parse: larger than {limit} bytes"
    try:
        parse(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line, why = data.count(b"\n", 0, error.start) + 1, "not UTF-8"
    except _BrokenError as error:
        line, why = error.line or 0, error.why
    except SyntaxError as error:
        line, why = error.lineno or 0, error.msg
    except (ValueError, RecursionError, MemoryError) as error:
        line, why = 0, (str(error).splitlines() or [type(error).__name__])[0]
    else:
        return ""
    return (f"line {line}: " if line else "") + f"does not parse: {why[:200]}"


def _parse_json(text: str) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise _BrokenError(error.lineno, error.msg) from error


def _parse_yaml(text: str) -> None:
    depth = 0
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            # The parser's time grows with the square of it.
            if depth > MAX_DEPTH:
                raise _BrokenError(event.start_mark.line + 1, f"nested deeper than {MAX_DEPTH}")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _BrokenError(mark.line + 1 if mark else None, error.problem or error.context or "") from error
    except YAMLError as error:
        raise _BrokenError(None, (str(error).splitlines() or [""])[0]) from error


def _parse_front_matter(text: str) -> None:
    parts = split_note(text.encode())
    try:
        _parse_yaml(parts.block.decode())
    except _BrokenError as error:
        raise _BrokenError(None if error.line is None else error.line + 1, error.why) from error


def _parse_toml(text: str) -> None:
    for number, line in enumerate(text.split("\n"), 1):
        # The parser's time and memory grow with the square of a key's parts.
        if line.count(".") > MAX_DOTS:
            raise _BrokenError(number, f"more than {MAX_DOTS} dots in one line")
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # The position stands only in the message: "(at line 2, column 1)", or "(at end of document)".
        where = str(error).rpartition("(at line ")[2].partition(",")[0]
        place = int(where) if where.isdecimal() else text.count("\n") + 1
        raise _BrokenError(place, str(error)) from error


def _parse_python(text: str) -> ast.Module:
    # Warnings of the parser about the text's style are not about whether it parses.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def _parse_script(text: str) -> None:
    root = _script_parser().parse(text.encode()).root_node
    if root.has_error:
        spoiled = _first_error(root)
        why = f"{spoiled.type} is missing" if spoiled.is_missing else "unexpected text"
        raise _BrokenError(spoiled.start_point.row + 1, why)


def _first_error(node: Node) -> Node:
    while node.type != "ERROR" and not node.is_missing:
        broken = [child for child in node.children if child.has_error or child.is_missing]
        if not broken:
            break
        node = broken[0]
    return node


@cache
def _script_parser() -> Parser:
    # Late: the grammar is half a megabyte of tables, and most nights see no script.
    import tree_sitter_javascript

    return Parser(Language(tree_sitter_javascript.language()))


_LIMITS: Mapping[str, int] = {".toml": MAX_TOML_BYTES, **dict.fromkeys(SCRIPTS, MAX_SCRIPT_BYTES)}
_PARSERS: Mapping[str, Callable[[str], object]] = {
    ".json": _parse_json,
    ".toml": _parse_toml,
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
    ".py": _parse_python,
    ".pyi": _parse_python,
    ".md": _parse_front_matter,
    ".markdown": _parse_front_matter,
    **dict.fromkeys(SCRIPTS, _parse_script),
}
