"""Laws of the door to people's eyes."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.hidden import find_hidden
from pantheon.core.visible import UNSAFE, visible

DIRECTIONS = frozenset(["LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"])
DEFAULT_IGNORABLE = """
00AD 034F 061C 115F-1160 17B4-17B5 180B-180D 180E 180F 200B-200F 202A-202E 2060-2064 2065 2066-206F
3164 FE00-FE0F FEFF FFA0 FFF0-FFF8 1BCA0-1BCA3 1D173-1D17A E0000 E0001 E0002-E001F E0020-E007F E0080-E00FF E0100-E01EF
E01F0-E0FFF"""
"""As DerivedCoreProperties.txt of Unicode 14.0 lists them."""
SHOWN_FORMATS = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
"""Prepended_Concatenation_Mark: format characters by category, and visible signs all the same."""


def ignorable() -> list[str]:
    """Return every character of ``DEFAULT_IGNORABLE``."""
    found = []
    for part in DEFAULT_IGNORABLE.split():
        first, _, last = part.partition("-")
        found += [chr(code) for code in range(int(first, 16), int(last or first, 16) + 1)]
    return found


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_acts_leaves(text: str) -> None:
    """Whatever goes in, no control, format character of direction, or surrogate comes out; twice is once."""
    shown = visible(text)
    shown.encode("utf-8")
    assert visible(shown) == shown
    for char in shown:
        assert char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(char) not in DIRECTIONS


def test_no_ignorable_character_leaves() -> None:
    """All 4,174 characters that Unicode lets a program leave out are written out, between any letters."""
    every = ignorable()
    assert len(every) == 4174
    assert [char for char in every if not visible(f"a{char}b").isascii()] == []
    assert [char for char in every if find_hidden("ab", f"a{char}b") is None] == []


def test_no_character_that_this_python_calls_a_format_leaves() -> None:
    """Categories Cc, Cf, Cs, Zl and Zp of the interpreter's own tables, but for signs that show."""
    kept = {
        char
        for char in map(chr, range(0x110000))
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and not UNSAFE.fullmatch(char)
    }
    assert kept == {"\n", "\t", *SHOWN_FORMATS}


@given(st.text(st.sampled_from("a1#\u26a0\u2764\u00a9\ufe0f\ufe0e\u200d\U0001f600 ")))
def test_the_emoji_selector_stays_only_behind_a_symbol_of_two_forms(text: str) -> None:
    """Never first, never twice, never behind a letter; what stays reads the same twice."""
    shown = visible(text)
    assert visible(shown) == shown
    for place, char in enumerate(shown):
        assert char != "\ufe0f" or (place > 0 and shown[place - 1] in "\u26a0\u2764\u00a9")


@pytest.mark.parametrize("text", ["\u26a0\ufe0f mind the gap", "I \u2764\ufe0f it", "\U0001f6e0\ufe0f tools"])
def test_what_a_keyboard_writes_stays(text: str) -> None:
    """A warning sign in a note is no hidden character."""
    assert visible(text) == text
    assert find_hidden("", text) is None
