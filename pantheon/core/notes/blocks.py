"""The block structure of a Markdown text, as far as it takes to tell text from code.

A segment is a run of whole lines that inline constructs may span: a paragraph, a heading, a table row. Code
blocks, blank lines and thematic breaks separate segments and belong to none.

Source: CommonMark 0.31, sections 4.4 (indented code), 4.5 (fenced code), 5.1 (quotes) and 5.2 (list items).
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_MARKER = re.compile(r"(?:[-+*]|\d{1,9}[.)])(?=[ \t]|$)")
_FENCE = re.compile(r"(`{3,})[^`]*$|(~{3,})")
_ALONE = re.compile(r"#{1,6}(?:\s|$)|\|")
_BREAK = re.compile(r"(?:-[ \t]*){3,}$|(?:\*[ \t]*){3,}$|(?:_[ \t]*){3,}$|=+[ \t]*$|\.\.\.$")
TAB = 4
MAX_DEPTH = 20
"""Quotes or list items that may open on one line; what is nested deeper is taken for text."""


class _Line(NamedTuple):
    """A line as seen from its containers."""

    quotes: int
    indent: int
    """Columns from the innermost quote to the first character."""
    content: str
    """From the first character on, without the line end."""


class _Fence(NamedTuple):
    marker: str
    quotes: int
    indent: int
    """Content column of the list item that holds it; a line further left ends the item and the block."""


def text_segments(text: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of every segment of ``text`` in order."""
    scanner = _Scanner()
    begin: int | None = None
    for found in _LINE.finditer(text):
        if found.start() == found.end():
            break
        kind = scanner.kind_of(found.group().rstrip("\r\n"))
        if kind != "continues" and begin is not None:
            yield begin, found.start()
            begin = None
        if kind == "alone":
            yield found.span()
        elif kind in ("starts", "continues") and begin is None:
            begin = found.start()
    if begin is not None:
        yield begin, len(text)


class _Scanner:
    """What is open at a line: quotes, list items, a fence, a paragraph."""

    def __init__(self) -> None:
        self._fence: _Fence | None = None
        self._items: list[int] = []
        self._quotes = 0
        self._in_paragraph = False

    def kind_of(self, raw: str) -> str:
        """Return what a line is: ``starts`` or ``continues`` a segment, stands ``alone``, or is ``nothing``."""
        line = _unquoted(raw)
        if self._fence is not None:
            if not self._leaves_fence(line):
                if (
                    line.quotes == self._fence.quotes
                    and line.indent - self._fence.indent < TAB
                    and _closes(line.content, self._fence.marker)
                ):
                    self._fence = None
                return "nothing"
            self._fence = None
        if not line.content:
            self._in_paragraph = False
            return "nothing"
        if line.quotes != self._quotes and not (self._in_paragraph and line.quotes < self._quotes):
            self._items.clear()
            self._in_paragraph = False
            self._quotes = line.quotes
        return self._kind_of_text(line)

    def _kind_of_text(self, line: _Line) -> str:
        indent, content = line.indent, line.content
        if not self._in_paragraph:
            self._leave_items(indent)
        base = self._items[-1] if self._items else 0
        if indent - base >= TAB and not self._in_paragraph:
            return "nothing"
        new_item = False
        for _ in range(MAX_DEPTH):
            marker = _MARKER.match(content)
            if marker is None or _BREAK.match(content):
                break
            self._leave_items(indent)
            rest = content[marker.end() :].expandtabs(TAB)
            inner = rest.lstrip()
            gap = len(rest) - len(inner)
            width = marker.end() + (gap if inner and gap <= TAB else 1)
            self._items.append(indent + width)
            indent, content, new_item = indent + width, inner, True
            if gap > TAB:
                self._in_paragraph = False
                return "nothing"
        fence = _FENCE.match(content) if indent - base < TAB or new_item else None
        if fence is not None:
            self._leave_items(indent)
            self._fence = _Fence(
                fence.group(1) or fence.group(2), line.quotes, self._items[-1] if self._items else 0
            )
            self._in_paragraph = False
            return "nothing"
        if not content or _BREAK.match(content):
            self._in_paragraph = False
            return "nothing"
        if _ALONE.match(content) and (new_item or indent - base < TAB):
            self._in_paragraph = content.startswith("|")
            return "alone"
        continues = self._in_paragraph and not new_item
        self._in_paragraph = True
        return "continues" if continues else "starts"

    def _leave_items(self, indent: int) -> None:
        while self._items and indent < self._items[-1]:
            self._items.pop()

    def _leaves_fence(self, line: _Line) -> bool:
        assert self._fence is not None
        outdented = bool(line.content) and line.indent < self._fence.indent
        return line.quotes < self._fence.quotes or outdented


def _unquoted(raw: str) -> _Line:
    quotes = 0
    line = raw.expandtabs(TAB) if "\t" in raw[:40] else raw
    content = line.lstrip(" \t")
    while quotes < MAX_DEPTH and content.startswith(">") and len(line) - len(content) < TAB:
        quotes += 1
        line = content[1:].removeprefix(" ")
        content = line.lstrip(" \t")
    return _Line(quotes, len(line) - len(content), content.rstrip())


def _closes(content: str, marker: str) -> bool:
    return len(content) >= len(marker) and content == marker[0] * len(content)
