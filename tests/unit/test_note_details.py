"""Details that a note does not bear out are seen without a model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.notes.detailcheck import contradicted_words, foreign_numbers

NOTE = "Three tries were slower than 1,200 ms before the change; 14 minutes without an index. It is on port 8080."


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("After 14 minutes and 3 tries on 8080", ()),
        ("Takes 1200 ms, or 1,200 ms", ()),
        ("Takes 43 minutes", ("43",)),
        ("About 14.5 minutes", ("14.5",)),
        ("No number at all", ()),
    ],
)
def test_a_number_must_be_in_the_note(text: str, foreign: tuple[str, ...]) -> None:
    """In figures with or without a thousands' mark, or, up to twelve, in words."""
    assert foreign_numbers(text, NOTE) == foreign


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Was slower before the change", ()),
        ("Was faster before the change", ("faster",)),
        ("What it was after the change", ()),
        ("An index with more rows", ()),
        ("How it was made cheap", ()),
    ],
)
def test_a_word_whose_opposite_the_note_has_is_wrong(text: str, wrong: tuple[str, ...]) -> None:
    """Where the note has neither word, or both, nothing is said."""
    assert contradicted_words(text, NOTE) == wrong


@given(st.text(max_size=60))
def test_a_note_never_contradicts_itself(text: str) -> None:
    """Whatever is in a note can be said of it."""
    assert foreign_numbers(text, text) == ()
    assert contradicted_words(text, text) == ()
