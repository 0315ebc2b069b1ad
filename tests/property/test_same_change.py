"""A change that is made again elsewhere is the reviewed one only when nothing was added, lost or moved."""

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.same_change import Sides, compose, find_other_change

LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n", b"\n"]), max_size=8)
TEXT = LINES.map(b"".join)
MAYBE = st.none() | TEXT


def numbered(count: int) -> list[bytes]:
    return [b"line %d\n" % n for n in range(count)]


@given(TEXT, TEXT)
def test_an_edit_beside_nothing_is_itself(base: bytes, ours: bytes) -> None:
    """Composing with a side that did nothing gives the other side."""
    assert compose(base, ours, base) == ours
    assert compose(base, base, ours) == ours


@given(TEXT, TEXT, TEXT)
def test_composing_has_no_order(base: bytes, ours: bytes, theirs: bytes) -> None:
    """Whose edit comes first does not matter."""
    assert compose(base, ours, theirs) == compose(base, theirs, ours)


@given(st.integers(3, 30), st.data())
def test_edits_at_different_places_compose(count: int, data: st.DataObject) -> None:
    """Two edits with a line between them: both are there, each at its own place."""
    mine = data.draw(st.integers(0, count - 3))
    other = data.draw(st.integers(mine + 2, count - 1))
    base = numbered(count)
    ours, theirs, both = [*base], [*base], [*base]
    ours[mine] = both[mine] = b"mine\n"
    theirs[other] = both[other] = b"theirs\n"
    assert compose(b"".join(base), b"".join(ours), b"".join(theirs)) == b"".join(both)


@given(st.integers(1, 20), st.data())
def test_the_same_line_does_not_compose(count: int, data: st.DataObject) -> None:
    """Two edits of one line, or two insertions at one place, were never reviewed together."""
    place = data.draw(st.integers(0, count - 1))
    base = numbered(count)
    ours, theirs = [*base], [*base]
    if data.draw(st.booleans()):
        ours[place], theirs[place] = b"mine\n", b"theirs\n"
    else:
        ours.insert(place, b"mine\n")
        theirs.insert(place, b"theirs\n")
    assert compose(b"".join(base), b"".join(ours), b"".join(theirs)) is None


@given(MAYBE, MAYBE, MAYBE)
def test_an_unmoved_file_must_be_the_reviewed_one(
    base: bytes | None, head: bytes | None, merged: bytes | None
) -> None:
    """Where the branch left a file alone, exactly the reviewed bytes may land."""
    found = find_other_change({"a.txt": Sides(base, head, base, merged)}, {})
    assert found == (() if merged == head else ("a.txt",))


@given(MAYBE, MAYBE, MAYBE)
def test_a_file_nobody_reviewed_stays_the_branchs(
    base: bytes | None, parent: bytes | None, merged: bytes | None
) -> None:
    """Where the reviewed change left a file alone, nothing but what the branch has may land."""
    found = find_other_change({"a.txt": Sides(base, base, parent, merged)}, {})
    assert found == (() if merged == parent else ("a.txt",))


@given(st.integers(3, 12), st.data())
def test_one_smuggled_line_is_another_change(count: int, data: st.DataObject) -> None:
    """Wherever it stands, one more or one less line in what would land, and it is not what was reviewed."""
    mine = data.draw(st.integers(0, count - 3))
    other = data.draw(st.integers(mine + 2, count - 1))
    base = numbered(count)
    head, parent, both = [*base], [*base], [*base]
    head[mine] = both[mine] = b"mine\n"
    parent[other] = both[other] = b"theirs\n"
    place = data.draw(st.integers(0, count - 1))
    more = [*both[:place], b"smuggled\n", *both[place:]]
    less = [*both[:place], *both[place + 1 :]]
    for merged, found in ((both, ()), (more, ("a.txt",)), (less, ("a.txt",)), (head, ("a.txt",))):
        sides = Sides(*(b"".join(lines) for lines in (base, head, parent, merged)))
        assert find_other_change({"a.txt": sides}, {}) == found


def test_links_follow_where_the_branch_has_them() -> None:
    """A link to a renamed target that stands on a line the branch has changed, or in a file it renamed, may follow."""
    renames = {"b.md": "new.md"}
    target = {"b.md": Sides(b"t\n", None, b"t\n", None), "new.md": Sides(None, b"f\nt\n", None, b"f\nt\n")}
    both = Sides(
        b"[a](a.md) [b](b.md)\n",
        b"[a](a.md) [b](new.md)\n",
        b"[a](c.md) [b](b.md)\n",
        b"[a](c.md) [b](new.md)\n",
    )
    assert find_other_change({**target, "x.md": both}, renames) == ()
    moved = {
        "old.md": Sides(b"[b](b.md)\n", b"[b](new.md)\n", None, None),
        "renamed.md": Sides(None, None, b"[b](b.md)\n", b"[b](new.md)\n"),
    }
    assert find_other_change({**target, **moved}, renames) == ()
    more = Sides(both.base, both.head, both.parent, b"[a](c.md) [b](new.md) and more\n")
    assert find_other_change({**target, "x.md": more}, renames) == ("x.md",)


def test_a_renamed_target_carries_its_edit_along() -> None:
    """The new name holds the reviewed edit and what the branch did to the old one; the old one is gone."""
    renames = {"b.md": "new.md"}
    base, head, parent = b"1\n2\n3\n", b"0\n1\n2\n3\n", b"1\n2\nx\n"
    old = Sides(base, None, parent, None)
    right = Sides(None, head, None, b"0\n1\n2\nx\n")
    assert find_other_change({"b.md": old, "new.md": right}, renames) == ()
    lost = Sides(None, head, None, head)
    assert find_other_change({"b.md": old, "new.md": lost}, renames) == ("new.md",)
    taken = Sides(None, head, b"somebody's\n", b"0\n1\n2\nx\n")
    assert find_other_change({"b.md": old, "new.md": taken}, renames) == ("new.md",)
    left = Sides(base, None, parent, parent)
    assert find_other_change({"b.md": left, "new.md": right}, renames) == ("b.md",)
