"""Laws of the door to people's eyes."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.visible import visible

DIRECTIONS = frozenset(["LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"])


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_that_acts_leaves(text: str) -> None:
    """Whatever goes in, no control, format character of direction, or surrogate comes out; twice is once."""
    shown = visible(text)
    shown.encode("utf-8")
    assert visible(shown) == shown
    for char in shown:
        assert char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(char) not in (
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        )
