"""Laws of link scanning and rewriting, on hostile texts too."""

import re
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pantheon.core.notes.blocks import text_segments
from pantheon.core.notes.links import find_links, rewrite_links

PIECES = st.sampled_from(
    [
        "[",
        "]",
        "(",
        ")",
        "![",
        "](",
        "[[",
        "]]",
        "a",
        "b.md",
        "`",
        "``",
        "```\n",
        "~~~\n",
        "\n",
        "\r\n",
        "\r",
        "\n\n",
        "    ",
        "- ",
        "> ",
        "1. ",
        " ",
        "\\",
        "<",
        ">",
        '"t"',
        "'",
        "# ",
        "[x](old.md)",
        "[x]: old.md\n",
        "[[old]]",
        "[q](<old.md>)",
        '[r](old.md "t")',
        "|",
        "\t",
        "---\n",
        "<!--",
        "-->",
        "\u2028",
        "🙂",
        "%20",
    ]
)
TEXTS = st.lists(PIECES, max_size=30).map("".join)
RENAMES = {"docs/old.md": "docs/a-new-name.md"}


@given(TEXTS)
def test_offsets_are_exact_and_in_order(text: str) -> None:
    """Links do not overlap and name their own destination."""
    last = 0
    for link in find_links(text):
        assert last <= link.start < link.end
        assert text[link.start : link.end] == link.destination
        last = link.end


@given(TEXTS)
def test_segments_are_whole_lines_in_order(text: str) -> None:
    """Segments begin and end at line ends and do not overlap."""
    last = 0
    for start, end in text_segments(text):
        assert last <= start < end
        assert start == 0 or text[start - 1] in "\r\n"
        assert end == len(text) or text[end - 1] in "\r\n"
        last = end


@given(TEXTS)
def test_rewriting_changes_destinations_and_nothing_else(text: str) -> None:
    """Undoing the new name gives the old text back; a second rewriting changes nothing."""
    new = rewrite_links(text, "docs/x.md", RENAMES)
    assert new.replace("a-new-name", "old") == text
    assert rewrite_links(new, "docs/x.md", RENAMES) == new
    assert rewrite_links(text, "docs/x.md", {"docs/other.md": "docs/else.md"}) == text


SAFE = st.text(alphabet="ab `[]()<>\\*_!\"'", max_size=25)


@given(st.lists(st.one_of(SAFE, st.sampled_from(["[x](y.md)", "![i](p.png)", '[r](s.md "t")'])), max_size=6))
def test_a_paragraph_has_the_links_that_a_renderer_finds(parts: list[str]) -> None:
    """An independent CommonMark parser sees the same destinations in a paragraph."""
    text = "x " + "".join(parts).strip()
    markdown = MarkdownIt("commonmark")
    markdown.validateLink = lambda url: True  # type: ignore[method-assign]
    expected: set[str] = set()

    def walk(tokens: list[Any]) -> None:
        for token in tokens:
            if token.type == "link_open" and token.info != "auto":
                expected.add(token.attrs["href"])
            if token.type == "image":
                expected.add(token.attrs["src"])
            walk(token.children or [])

    walk(markdown.parse(text))
    found = {_plain(link.destination) for link in find_links(text) if link.kind == "path"}
    if not any(link.kind == "wiki" for link in find_links(text)):
        assert found == {unquote(url) for url in expected if url}


def _plain(destination: str) -> str:
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", destination)


@pytest.mark.parametrize(
    "unit",
    [
        "[",
        "](",
        "[](",
        "[a](b",
        '[a](b "',
        "[a](<",
        "[[",
        "[[a|",
        "`",
        "`` ",
        "\\",
        "<a ",
        '<a b="',
        "<!--",
        "(",
        "> ",
        "- ",
        "1. ",
        "* * ",
        "[a]: ",
        "[a]: b\n",
        "[a](b '",
        "[a]( ",
        "![",
        "[a](b(",
        "\n",
        "\t",
        "#",
        "|",
    ],
)
def test_the_work_is_linear_in_hostile_text(unit: str) -> None:
    """Four times the text costs at most about four times the lines executed, and no search runs away."""
    small, large = (_steps(lambda size=size: list(find_links(unit * size))) for size in (500, 2_000))  # type: ignore[misc]
    assert large <= 4.5 * small + 2_000


def _steps(work: Callable[[], object]) -> int:
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
