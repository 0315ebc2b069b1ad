"""Where the links of a Markdown text are: a scanner that is linear in the text and exact in its offsets.

Known forms: inline links and images ``[t](dest "title")``, also ``<dest>``; reference definitions
``[label]: dest``; wiki links ``[[name]]``, ``[[name#head|alias]]`` and embeds ``![[name]]``; ``href`` and ``src``
of raw HTML tags. No link is found in fenced code, indented code, code spans and behind a backslash.

Invariants:
- links come in order and do not overlap; ``text[start:end] == destination``;
- the work is linear in the text whatever it holds: nothing is searched twice over the same stretch.

Accepted trade-off: lists and quotes are followed closely enough to tell code from text, not rendered; reference
definitions count also where nothing refers to them.

Source: CommonMark 0.31, sections 2.4, 4.4, 4.5, 4.7, 6.1 and 6.3.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Literal, NamedTuple

from pantheon.core.notes.blocks import text_segments

_INLINE_POINT = re.compile(r"[\\`<\[\]]")
_BACKTICKS = re.compile(r"`+")
_TAG = re.compile(
    r"</?[A-Za-z][A-Za-z0-9-]*+"
    r"(?:\s++[A-Za-z_:][\w.:-]*+(?:\s*+=\s*+(?:[^\s\"'=<>`]++|'[^']*+'|\"[^\"]*+\"))?+)*+\s*+/?>"
    r"|<[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*+>"
)
_MARKUP = re.compile(r"<!--|<\?|<!\[CDATA\[|<![A-Za-z]")
_CLOSERS = {"<!--": "-->", "<?": "?>", "<![CDATA[": "]]>"}
_ATTRIBUTE = re.compile(r"\s(?:href|src)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_WIKI = re.compile(r"\[\[([^\[\]\r\n|]+?)(?:\\?\|[^\[\]\r\n]*)?\]\](?!\()")
_PARENS = re.compile(r"\\.|[()]|\s+", re.DOTALL)
_SPACE = re.compile(r"\s+")
_ANGLE = re.compile(r"\s*<((?:[^<>\\\r\n]|\\.)*)>")
_TITLE = r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\((?:[^()\\]|\\.)*\))"
_END = re.compile(rf"(?:\s+{_TITLE})?\s*\)", re.DOTALL)
_DEFINITION = re.compile(
    r"(?:[ >\t]|(?:[-+*]|\d{1,9}[.)])[ \t]+)*+\[(?!\^)((?:[^\[\]\\]|\\.)+)\]:"
    r"[ \t]*(?:\r\n|\r|\n)?[ \t]*(?:<([^<>\r\n]*)>|([^\s<]\S*))"
    rf"(?:[ \t]+(?:(?:\r\n|\r|\n)[ \t]*)?{_TITLE})?[ \t]*(?:\r\n|\r|\n|\Z)",
    re.DOTALL,
)


class Link(NamedTuple):
    """One link in a text."""

    start: int
    """Offset of the destination's first character, without ``<``."""
    end: int
    kind: Literal["path", "wiki"]
    destination: str
    """As written, without ``<>``, without an alias or title."""


def find_links(text: str) -> Iterator[Link]:
    """Yield the links of a Markdown text in order, those in code left out."""
    for start, end in text_segments(text):
        segment = text[start:end]
        for link in _links_of_segment(segment):
            yield link._replace(start=link.start + start, end=link.end + start)


def _links_of_segment(segment: str) -> Iterator[Link]:
    place = 0
    while (definition := _DEFINITION.match(segment, place)) is not None:
        group = 2 if definition.group(2) is not None else 3
        if group == 3 and not _balanced(definition.group(3)):
            break
        if definition.group(1).strip() and definition.group(group):
            yield _link(segment, *definition.span(group))
        place = definition.end()
    if "]" in segment or "<" in segment:
        yield from _Inline(segment).links(place)


def _link(segment: str, start: int, end: int, kind: Literal["path", "wiki"] = "path") -> Link:
    return Link(start, end, kind, segment[start:end])


def _balanced(word: str) -> bool:
    depth = 0
    for found in _PARENS.finditer(word):
        depth += {"(": 1, ")": -1}.get(found.group(), 0)
        if depth < 0:
            return False
    return depth == 0


class _Inline:
    """The inline content of one segment, with what must be known ahead looked up once."""

    def __init__(self, segment: str) -> None:
        self._text = segment
        self._runs: dict[int, list[int]] = {}
        for run in _BACKTICKS.finditer(segment):
            self._runs.setdefault(run.end() - run.start(), []).append(run.start())
        self._closers: dict[int, int] = {}
        self._last_open: set[int] = set()
        self._spaces: list[int] = []
        self._last_closer: dict[str, int] = {}
        self._pair_parens()

    def links(self, place: int) -> Iterator[Link]:
        """Yield the links from ``place`` on."""
        images: list[bool] = []
        inactive = 0
        while (point := _INLINE_POINT.search(self._text, place)) is not None:
            at = point.start()
            char = self._text[at]
            place = at + 1
            if char == "\\":
                place += self._text[at + 1 : at + 2] in _PUNCTUATION
            elif char == "`":
                place = self._after_code(at)
            elif char == "<":
                if (tag := _TAG.match(self._text, at)) is not None:
                    yield from self._attributes(tag)
                    place = tag.end()
                else:
                    place = self._after_markup(at)
            elif char == "[":
                if (wiki := _WIKI.match(self._text, at)) is not None:
                    yield _link(self._text, *wiki.span(1), "wiki")
                    place = wiki.end()
                else:
                    images.append(self._text[at - 1 : at] == "!" and self._text[at - 2 : at - 1] != "\\")
            elif images:
                is_image = images.pop()
                active = is_image or len(images) >= inactive
                inactive = min(inactive, len(images))
                if not active or not self._text.startswith("(", at + 1):
                    continue
                if (found := self._destination(at + 1)) is not None:
                    link, place = found
                    if link is not None:
                        yield link
                    if not is_image:
                        # A link holds no other link: the brackets around this one are mere text.
                        inactive = len(images)

    def _attributes(self, tag: re.Match[str]) -> Iterator[Link]:
        for attribute in _ATTRIBUTE.finditer(self._text, tag.start(), tag.end()):
            start, end = attribute.span(1 if attribute.group(1) is not None else 2)
            if end > start:
                yield _link(self._text, start, end)

    def _after_code(self, at: int) -> int:
        """Return the place behind a code span, or behind the backticks when they open none."""
        run = _BACKTICKS.match(self._text, at)
        assert run is not None
        starts = self._runs.get(run.end() - at, [])
        following = bisect_left(starts, run.end())
        if following == len(starts):
            return run.end()
        return starts[following] + run.end() - at

    def _after_markup(self, at: int) -> int:
        """Return the place behind a comment, declaration or instruction, or behind ``<`` when there is none."""
        opener = _MARKUP.match(self._text, at)
        if opener is None:
            return at + 1
        closer = _CLOSERS.get(opener.group(), ">")
        if closer not in self._last_closer:
            self._last_closer[closer] = self._text.rfind(closer)
        if self._last_closer[closer] < at + 2:
            return at + 1
        return self._text.index(closer, at + 2) + len(closer)

    def _pair_parens(self) -> None:
        """Pair the parentheses of each word: a bare destination is one word, balanced."""
        stack: list[int] = []
        for found in _PARENS.finditer(self._text):
            token = found.group()
            if token == "(":
                stack.append(found.start())
            elif token == ")":
                if stack:
                    self._closers[stack.pop()] = found.start()
            elif token[0] != "\\":
                self._spaces.append(found.start())
                if stack:
                    self._last_open.add(stack[-1])
                stack.clear()

    def _destination(self, opening: int) -> tuple[Link | None, int] | None:
        """Return (the link, the place behind it) when a link's tail starts at ``opening``; an empty destination
        is a link that leads nowhere and has no ``Link``."""
        text = self._text
        angle = _ANGLE.match(text, opening + 1)
        if angle is not None:
            end = _END.match(text, angle.end())
            if end is None:
                return None
            link = _link(text, *angle.span(1)) if angle.group(1) else None
            return link, end.end()
        start = opening + 1
        if text.startswith("<", start):
            return None
        closing = self._closers.get(opening)
        if closing is not None:
            return (_link(text, start, closing) if closing > start else None), closing + 1
        return self._spaced_destination(opening) if opening in self._last_open else None

    def _spaced_destination(self, opening: int) -> tuple[Link | None, int] | None:
        """Read a tail with white space in it: ``( dest )``, ``(dest "title")``."""
        text = self._text
        gap = _SPACE.match(text, opening + 1)
        start = opening + 1 if gap is None else gap.end()
        place = bisect_left(self._spaces, start)
        stop = self._spaces[place] if place < len(self._spaces) else len(text)
        if gap is not None:
            # The word begins behind the gap, so that the pairs of parentheses say nothing about it.
            depth = 0
            for found in _PARENS.finditer(text, start, stop):
                depth += {"(": 1, ")": -1}.get(found.group(), 0)
                if depth < 0:
                    closing = found.start()
                    return (_link(text, start, closing) if closing > start else None), closing + 1
            if depth:
                return None
        end = _END.match(text, stop)
        return None if end is None or stop <= start else (_link(text, start, stop), end.end())
