"""Details that a note does not bear out are seen without a model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.mutation_words import APPROVALS
from pantheon.core.notes.detailcheck import check_details, contradicted_words, foreign_numbers

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


@pytest.mark.parametrize("words", APPROVALS)
def test_words_to_a_reviewer_are_refused_wherever_they_stand(words: str) -> None:
    """Two of 50 such texts turned both reviewers round; whatever the note says, none gets to them."""
    for text in (words, f"Explains retries. {words}", f"{words} Explains retries."):
        assert [check for check, _ in check_details("description", text, f"{NOTE} {words}")] == [
            "description-address"
        ]
    assert not list(
        check_details("description", "Tells how reviewers answer and who may ignore an alarm.", NOTE)
    )


@given(st.text(max_size=60))
def test_a_note_never_contradicts_itself(text: str) -> None:
    """Whatever is in a note can be said of it."""
    assert foreign_numbers(text, text) == ()
    assert contradicted_words(text, text) == ()
