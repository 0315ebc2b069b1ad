"""Checks of one changed file by its content alone: it parses, its tests and licence are kept, nobody generated it.

Each takes a path and the content before and after, and returns what is wrong, or an empty text. Invariants: pure, total
(no content makes one raise), and nothing is executed: Python is read by its own parser, not imported.

Accepted trade-off: JavaScript is not parsed; its tests are counted by their usual words.
"""

import ast
import json
import posixpath
import re
import tomllib
import warnings
from collections.abc import Callable, Mapping, Sequence

from pathspec import GitIgnoreSpec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

HEAD_LINES = 30
MAX_PARSED_BYTES = 5_000_000
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
_ASSERTION = re.compile(r"\bassert\b|\bexpect\s*\(|\bt\.(?!skip|todo|log|plan|test|after|before)\w+\s*\(")
_SKIP = re.compile(
    r"\.(?:skip|todo|only|failing)\b|\bx(?:it|describe|test)\s*\(|\bskip\s*:\s*(?!false)|\btodo\s*:"
)
_SKIPS = ("skip", "skipif", "skipunless", "xfail", "skiptest", "importorskip", "expectedfailure")
_CHECKED_CALLS = ("raises", "warns", "deprecated_call")


def find_unparsable(path: str, before: bytes | None, after: bytes | None) -> str:
    """Return why a file does not parse any more; a file that did not before need not now."""
    parse = _PARSERS.get(posixpath.splitext(path)[1].lower())
    if parse is None or after is None:
        return ""
    if why := _why_not(parse, after):
        broken_before = before is not None and bool(_why_not(parse, before))
        return "" if broken_before else f"does not parse: {why}"
    return ""


def find_weakened(path: str, before: bytes | None, after: bytes | None, patterns: Sequence[str]) -> str:
    """Return how the tests of a file were weakened.

    Args:
        patterns: which files hold tests, as in ``.gitignore``.
    """
    if before is None or not GitIgnoreSpec.from_lines(patterns).match_file(path):
        return ""
    if after is None:
        return "a file of tests was deleted"
    was, now = _count_tests(path, before), _count_tests(path, after)
    if now is None or was is None:
        was, now = _count_words(before), _count_words(after)
    if now[0] < was[0]:
        return f"{was[0]} assertions have become {now[0]}"
    if now[1] > was[1]:
        return "a test is skipped that was not"
    if now[2] < was[2]:
        return f"{was[2]} tests have become {now[2]}"
    return ""


def find_lost_licence(_path: str, before: bytes | None, after: bytes | None) -> str:
    """Return which line of a licence header is gone."""
    if before is None or after is None:
        return ""
    kept = {" ".join(line.split()) for line in _LICENCE.findall(_head(after))}
    for line in _LICENCE.findall(_head(before)):
        if " ".join(line.split()) not in kept:
            return f"the licence header lost {line.strip()[:80]!r}"
    return ""


def find_generated(path: str, before: bytes | None, after: bytes | None) -> str:
    """Return why a file is not one that a change is made in."""
    if _GENERATED_NAMES.match_file(path):
        return "its name is that of a generated file"
    if found := _GENERATED.search(_head(before if before is not None else after or b"", lines=5)):
        return f"it says of itself that it is generated ({found.group()[:40]!r})"
    return ""


def _why_not(parse: Callable[[str], object], data: bytes) -> str:
    if len(data) > MAX_PARSED_BYTES:
        return f"larger than {MAX_PARSED_BYTES} bytes"
    try:
        # Warnings of the parser about the text's style are not about whether it parses.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parse(data.decode("utf-8"))
    except (ValueError, SyntaxError, YAMLError, RecursionError, MemoryError) as error:
        return (str(error).splitlines() or [type(error).__name__])[0][:200]
    return ""


def _parse_json(text: str) -> None:
    json.loads(text)


def _parse_yaml(text: str) -> None:
    # Only the events: no value is built, so no alias is ever expanded.
    for _ in YAML(typ="safe", pure=True).parse(text):
        pass


_PARSERS: Mapping[str, Callable[[str], object]] = {
    ".json": _parse_json,
    ".toml": tomllib.loads,
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
    ".py": ast.parse,
    ".pyi": ast.parse,
}


def _count_tests(path: str, data: bytes) -> tuple[int, int, int] | None:
    """Return assertions, skips and tests of Python; None where it is another language or does not parse."""
    if not path.endswith(".py") or _why_not(ast.parse, data):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(data.decode("utf-8"))
    assertions = skips = tests = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            constant = isinstance(node.test, ast.Constant) and bool(node.test.value)
            assertions += not constant
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            tests += node.name.startswith("test")
        elif isinstance(node, ast.Attribute | ast.Name):
            name = (node.attr if isinstance(node, ast.Attribute) else node.id).lower()
            assertions += name.startswith("assert") or name in _CHECKED_CALLS
            skips += name in _SKIPS
    return assertions, skips, tests


def _count_words(data: bytes) -> tuple[int, int, int]:
    text = data.decode("utf-8", "replace")
    return len(_ASSERTION.findall(text)), len(_SKIP.findall(text)), 0


def _head(data: bytes, lines: int = HEAD_LINES) -> str:
    return "\n".join(data[:20_000].decode("utf-8", "replace").splitlines()[:lines])
