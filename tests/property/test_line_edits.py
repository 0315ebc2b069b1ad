"""Edits lead from one text to the other, whatever the lines are, and never take long."""

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.line_edits import Edit, line_edits

LINES = st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"e", b""]), max_size=14)
TEXTS = st.lists(st.integers(0, 40).map(lambda n: b"%d" % n), max_size=30)


def applied(old: list[bytes], edits: list[Edit]) -> list[bytes]:
    """Return a text with the edits in it, the last first."""
    new = list(old)
    for edit in reversed(edits):
        new[edit.first : edit.last] = edit.new
    return new


@given(st.one_of(st.tuples(LINES, LINES), st.tuples(TEXTS, TEXTS)))
def test_edits_lead_from_one_to_the_other(texts: tuple[list[bytes], list[bytes]]) -> None:
    """Applied they give the new text; they are in order, do something, and do not touch."""
    old, new = texts
    edits = line_edits(old, new)
    assert applied(old, edits) == new
    assert all(one.last < other.first for one, other in pairwise(edits))
    assert all(list(one.new) != old[one.first : one.last] for one in edits)
    assert (edits == []) == (old == new)


@given(st.integers(1, 200), st.data())
def test_far_edits_stay_apart(count: int, data: st.DataObject) -> None:
    """In a text of many equal lines between others, each replaced line is one edit of that line alone."""
    old = [b"line %d" % (n // 2) if n % 2 else b"" for n in range(2 * count)]
    places = sorted(data.draw(st.frozensets(st.integers(0, count - 1), max_size=5)))
    new = list(old)
    for n in places:
        new[2 * n + 1] = b"other %d" % n
    assert line_edits(old, new) == [Edit(2 * n + 1, 2 * n + 2, (b"other %d" % n,)) for n in places]


def test_no_text_takes_long() -> None:
    """Thousands of lines that are all alike, or of two kinds in turn, are compared in a moment, and rightly."""
    alike = [b"x"] * 20_000
    turns = [b"x", b"y"] * 10_000
    blocks = [b"%d" % (n * n % 97) for n in range(20_000)]
    began = time.process_time()
    for old, new in (
        (alike, [b"y", *alike[:-9], b"y"]),
        (turns, [b"z", *turns[::-1], b"z"]),
        (blocks, [b"z", *blocks[::-1], b"z"]),
    ):
        assert applied(old, line_edits(old, new)) == new
    assert time.process_time() - began < 10
