"""Texts made to keep a pattern busy: whatever reads hostile text takes time in proportion to its length."""

import contextlib
import re
import time
from collections.abc import Callable

import pytest

from pantheon.core.answer import read_answer
from pantheon.core.causes import cause_pattern
from pantheon.core.decoys import content_words
from pantheon.core.dsse import parse_envelope
from pantheon.core.errors import PantheonError
from pantheon.core.hidden import find_hidden
from pantheon.core.notes.digest import digest_note
from pantheon.core.notes.frontmatter import read_fields, set_fields, split_note
from pantheon.core.notes.links import broken_links, relink
from pantheon.core.notes.slug import slugify
from pantheon.core.notes.textcheck import normalise_tags
from pantheon.core.prompt import defuse
from pantheon.core.strict_json import scan_json
from pantheon.core.visible import visible_line
from pantheon.report.diffs import colour_diff, read_diff

READERS: dict[str, Callable[[str], object]] = {
    "defuse": defuse,
    "visible_line": visible_line,
    "find_hidden": lambda text: find_hidden("", text),
    "digest_note": lambda text: digest_note(text.encode()),
    "split_note": lambda text: split_note(text.encode()),
    "read_fields": lambda text: read_fields(b"---\n" + text.encode() + b"\n---\nbody\n"),
    "set_fields": lambda text: set_fields(b"---\n" + text.encode() + b"\n---\nbody\n", {"title": "A title"}),
    "broken_links": lambda text: broken_links(text, "a.md", ("a.md",)),
    "relink": lambda text: relink(text.encode(), "a.md", {"b.md": "c.md"}),
    "content_words": content_words,
    "cause_pattern": cause_pattern,
    "read_diff": lambda text: read_diff(f"diff --git a/x b/x\n--- {text}\n@@ -1 +1 @@\n{text}\n"),
    "colour_diff": lambda text: colour_diff(f"diff --git a/x b/x\n--- {text}\n@@ -1 +1 @@\n{text}\n"),
    "scan_json": scan_json,
    "read_answer": lambda text: read_answer(text, output={}, tools=(), tokens=1, cut=False),
    "parse_envelope": lambda text: parse_envelope(text.encode()),
    "slugify, as long as a title may be": lambda text: slugify(text[:200]),
    "normalise_tags, as long as tags may be": lambda text: normalise_tags((text[:200],)),
}
UNITS = (
    " ",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "a",
    "0",
    "-",
    "_",
    "=",
    "*",
    "`",
    "~",
    "#",
    "|",
    ">",
    "<",
    "[",
    "]",
    "(",
    ")",
    "{",
    '"',
    "'",
    "\\",
    "&",
    "!",
    "'\\'",
    '"\\"',
    "- ",
    "* ",
    "1. ",
    "> ",
    "a ",
    "a-",
    "a:",
    "a: ",
    "<a",
    "<a ",
    "<a b='",
    "<!--",
    "<?",
    "[[",
    "![",
    "](",
    "[a]",
    "[a](",
    "[a](<",
    "[a]: ",
    "``` ",
    "`a",
    "a\n",
    "-a\n",
    "a: b\n",
    "? a\n",
    "&a *a\n",
    "[ ",
    "{a: ",
    "- - ",
    "\u200b",
    "\u0430a",
    "a\u0430 ",
    "'\n",
    '"a',
    "%0",
    "\\u",
    '{"a":',
    "[1,",
    "+x\n",
    "-x\n",
    "@@ -1 +1 @@\n",
    "rename from x\n",
    "</",
    "\u2028",
)
AROUND = (("", ""), ("", "\0"), ("[", "x"), ("<", "x"), ('"', "x"), ("`", "\n\nx"), ("a", " !"))

BOMB = re.compile(r"\s*/?\s*x").match
"""Takes the square of its text; there is a control that says so."""


def cost_s(reader: Callable[[str], object], text: str) -> float:
    """Return the processor time that a reader takes."""
    began = time.process_time()
    with contextlib.suppress(PantheonError, ValueError):
        reader(text)
    return time.process_time() - began


def least_cost_s(reader: Callable[[str], object], text: str, tries: int) -> float:
    """Return the least of several: a core that does something else beside it makes a reader look slower only."""
    return min(cost_s(reader, text) for _ in range(tries))


def yardstick_s() -> float:
    """Return what 3,000 spaces cost a pattern that reads them once for each of them, on this machine and now."""
    return least_cost_s(BOMB, " " * 3_000 + "!", 3)


def grows(
    reader: Callable[[str], object], unit: str, before: str, after: str, size: int, *, least_s: float
) -> str:
    """Return how the cost grows where it does so faster than the text; empty where it does not.

    What costs less than ``least_s`` is not looked at: at four times the length it would still cost little.
    """

    def cost(length: int, tries: int) -> float:
        return least_cost_s(reader, before + unit * (length // len(unit)) + after, tries)

    first = cost(size, 1)
    # Nowhere near growing faster than a quarter of the text: longer ones would take longer to say the same.
    if first < least_s or first < 6 * cost(size // 4, 2):
        return ""
    one, four = cost(size, 4), cost(size * 4, 3)
    told = f"{unit!r} after {before!r}: {one * 1000:.0f} ms, four times as long {four * 1000:.0f} ms"
    return told if four > 9 * one else ""


def test_a_bomb_would_be_seen() -> None:
    """The control: two patterns that are known to explode do grow faster than their text."""
    assert any(grows(BOMB, " ", "", "!", 9_000, least_s=yardstick_s()) for _ in range(5))
    explodes = re.compile(r"(?:a|a)*c").match
    assert least_cost_s(explodes, "a" * 20, 3) > 20 * least_cost_s(explodes, "a" * 12, 9), (
        "256 times the paths"
    )


@pytest.mark.parametrize("name", READERS)
def test_no_text_keeps_a_reader_busy(name: str) -> None:
    """Every unit that means something to it, repeated, with and without a beginning and an end."""
    least_s = yardstick_s()
    found = [
        grows(READERS[name], unit, before, after, 16_000, least_s=least_s)
        for unit in UNITS
        for before, after in AROUND
    ]
    assert not [one for one in found if one]


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("text", ["(a+)+$", "(.*)*x", "a" * 60 + "!", "(((((((((((((((((((((((((((((("])
def test_a_pattern_in_a_text_is_text(name: str, text: str) -> None:
    """Nothing of Pantheon compiles what a model or a repository wrote."""
    assert cost_s(READERS[name], text * 200) < 1
