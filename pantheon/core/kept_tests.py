"""Whether a change took something away from the repository's tests: an assertion, a test, or its being run at all.

Python is read by its own parser and JavaScript by tree-sitter, so that what stands in a comment or a text is no
assertion; in another language, or where a file does not parse, the usual words are counted.

Accepted trade-off: it counts, it does not understand. An expectation that is replaced by another one is not seen.
"""

import ast
import re
from collections.abc import Sequence

from pathspec import GitIgnoreSpec
from tree_sitter import Node

from pantheon.core.model import Frozen
from pantheon.core.syntax import SCRIPTS, parse_python, parse_script

_ASSERTED = re.compile(
    r"expect|assert(\.\w+)*|t\.(?!skip|todo|log|plan|test|before|after|diagnostic|context)\w+(\.\w+)*"
)
_TESTED = re.compile(r"(test|it|specify|t\.test)(\.\w+)*")
_SKIPPED = re.compile(r".*\.(skip|todo|only|failing|skipIf|runIf|fails)|x(it|describe|test)|f(it|describe)")
_SKIP_OPTIONS = ("skip", "todo")
_ASSERTION = re.compile(r"\bassert\b|\bexpect\s*\(|\bt\.(?!skip|todo|log|plan|test|after|before)\w+\s*\(")
_SKIP = re.compile(
    r"\.(?:skip|todo|only|failing)\b|\bx(?:it|describe|test)\s*\(|\bskip\s*:\s*(?!false)|\btodo\s*:"
)
_SKIPS = ("skip", "skipif", "skipunless", "xfail", "skiptest", "importorskip", "expectedfailure")
_CHECKED_CALLS = ("raises", "warns", "deprecated_call")


class _Found(Frozen):
    """Where a file asserts, skips and tests: the lines, from 1."""

    assertions: tuple[int, ...]
    skips: tuple[int, ...]
    tests: tuple[int, ...]


def holds_tests(path: str, patterns: Sequence[str]) -> bool:
    """Tell whether a file holds tests. ``patterns`` are as in ``.gitignore``."""
    return GitIgnoreSpec.from_lines(patterns).match_file(path)


def find_weakened(path: str, before: bytes | None, after: bytes | None, patterns: Sequence[str]) -> str:
    """Return where and how the tests of a file were weakened.

    Args:
        path: the file's, as it is now.
        before: what it was; None for a new file.
        after: what it is; None where it is gone.
        patterns: which files hold tests, as in ``.gitignore``.
    """
    if before is None or not holds_tests(path, patterns):
        return ""
    if after is None:
        return "a file of tests was deleted"
    was, now = _look(path, before), _look(path, after)
    if was is None or now is None:
        was, now = _look_for_words(before), _look_for_words(after)
    if len(now.assertions) < len(was.assertions):
        line = _first_gone(was.assertions, before, after)
        return f"line {line} before: {len(was.assertions)} assertions have become {len(now.assertions)}"
    if len(now.skips) > len(was.skips):
        return f"line {_first_gone(now.skips, after, before)}: a test is skipped that was not"
    if len(now.tests) < len(was.tests):
        line = _first_gone(was.tests, before, after)
        return f"line {line} before: {len(was.tests)} tests have become {len(now.tests)}"
    return ""


def _first_gone(lines: Sequence[int], here: bytes, there: bytes) -> int:
    """Return the first of the lines whose text the other content has not; the first one where it has them all."""
    known = {line.strip() for line in there.splitlines()}
    texts = dict(enumerate(here.splitlines(), 1))
    ordered = sorted(lines)
    return next((line for line in ordered if texts.get(line, b"").strip() not in known), ordered[0])


def _look(path: str, data: bytes) -> _Found | None:
    if path.endswith((".py", ".pyi")):
        tree = parse_python(data)
        return None if tree is None else _look_in_python(tree)
    if path.endswith(SCRIPTS):
        script = parse_script(data)
        return None if script is None else _look_in_script(script.root_node)
    return None


def _look_in_python(tree: ast.Module) -> _Found:
    assertions: list[int] = []
    skips: list[int] = []
    tests: list[int] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            assertions += [] if _is_trivial(node.test) else [node.lineno]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            tests += [node.lineno] if node.name.startswith("test") else []
        elif isinstance(node, ast.Attribute | ast.Name):
            name = (node.attr if isinstance(node, ast.Attribute) else node.id).lower()
            if name.startswith("assert") or name in _CHECKED_CALLS:
                assertions.append(node.lineno)
            elif name in _SKIPS:
                skips.append(node.lineno)
    return _Found(assertions=tuple(assertions), skips=tuple(skips), tests=tuple(tests))


def _is_trivial(test: ast.expr) -> bool:
    """Tell whether a condition holds whatever the code does."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.BoolOp):
        parts = [_is_trivial(value) for value in test.values]
        return any(parts) if isinstance(test.op, ast.Or) else all(parts)
    return isinstance(test, ast.Tuple | ast.List) and bool(test.elts)


def _look_in_script(root: Node) -> _Found:
    assertions: list[int] = []
    skips: list[int] = []
    tests: list[int] = []
    nodes = [root]
    while nodes:
        node = nodes.pop()
        nodes += node.named_children
        line = node.start_point.row + 1
        if node.type == "call_expression":
            name = _text(node.child_by_field_name("function"))
            assertions += [line] if _ASSERTED.fullmatch(name) else []
            tests += [line] if _TESTED.fullmatch(name) else []
            skips += [line] if _SKIPPED.fullmatch(name) else []
        elif node.type == "pair" and _text(node.child_by_field_name("key")).strip("'\"") in _SKIP_OPTIONS:
            skips += [line] if _text(node.child_by_field_name("value")) != "false" else []
    return _Found(assertions=tuple(assertions), skips=tuple(skips), tests=tuple(tests))


def _text(node: Node | None) -> str:
    """Return a short name as it is written; a longer expression is none."""
    if node is None or node.end_byte - node.start_byte > 200:
        return ""
    return "".join((node.text or b"").decode("utf-8", "replace").split())


def _look_for_words(data: bytes) -> _Found:
    text = data.decode("utf-8", "replace")
    found = [
        tuple(text.count("\n", 0, one.start()) + 1 for one in word.finditer(text))
        for word in (_ASSERTION, _SKIP)
    ]
    return _Found(assertions=found[0], skips=found[1], tests=())
