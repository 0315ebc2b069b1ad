"""What a reader would not see is found when a change adds it, and only then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.hidden import find_hidden
from pantheon.core.protected import PROTECTED, find_protected


@pytest.mark.parametrize(
    "text",
    ["\u202eabc", "a\u200bb", "a\u2066b", "x\ufeff", "soft\u00adhyphen", "\U000e0041tag",
     "a\x1b[2Jb", "a\x00b", "\x9b2J"],
)  # fmt: skip
def test_an_invisible_character_is_found_once_it_is_new(text: str) -> None:
    """By its number and its line; one that was there before is no news, one more of it is."""
    found = find_hidden("first\n", f"first\n{text}\n")
    assert found is not None and "U+" in found and "line 2" in found
    assert find_hidden(text, f"more\n{text}\n") is None
    assert find_hidden(text, f"{text}{text}") is not None
    assert find_hidden(text, "") is None


@pytest.mark.parametrize(
    "word", ["p\u0430ypal", "adm\u0456n", "\u0421onfig", "t\u03bfken", "sc\u043epe", "\u0555pen"]
)
def test_a_word_of_two_alphabets_is_found(word: str) -> None:
    """Spelled out in ASCII, so that the look-alike shows."""
    found = find_hidden("", f"the {word} is new")
    assert found is not None and "\\u" in found
    assert find_hidden(f"the {word}", f"the {word} stays") is None


@pytest.mark.parametrize(
    "text",
    [
        "Δt and λ-calculus",
        "Москва and Paris",
        "naïve café",
        "Ελληνικά",
        "日本語 text",
        "a\tb\r\n",
        "µm",
        "x²",
    ],
)
def test_ordinary_text_is_ordinary(text: str) -> None:
    """Other alphabets in words of their own, symbols, line ends."""
    assert find_hidden("", text) is None


@given(st.text(), st.text())
def test_what_was_there_is_never_news(before: str, after: str) -> None:
    """A change that adds nothing adds nothing hidden, whatever the text."""
    assert find_hidden(before, before) is None
    find_hidden(before, after)


@pytest.mark.parametrize(
    "path",
    ["conftest.py", "src/deep/conftest.py", "tests/unit/test_x.py", "src/test_y.py", ".github/workflows/ci.yml",
     ".gitattributes", "docs/.gitattributes", "Makefile", "pyproject.toml", "flows/docops.toml", "a/b.pth"],
)  # fmt: skip
def test_what_judges_a_change_is_protected(path: str) -> None:
    """Wherever such a file lies."""
    assert find_protected(["docs/a.md", path], PROTECTED) == path
    assert find_protected(["docs/a.md", "src/tests.md", "docs/makefile.md"], PROTECTED) is None
