"""Where a reviewer's words stand in a diff."""

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.places import MAX_PLACES, Place, added_lines, find_places

DIFF = """diff --git a/docs/a.md b/docs/b.md
similarity index 80%
rename from docs/a.md
rename to docs/b.md
--- a/docs/a.md
+++ b/docs/b.md
@@ -1,2 +1,7 @@
+---
+title: "How the limiter counts"
+tags:
+- limits
+- redis
 text
-+++ b/evil.md
++++ b/other.md
@@ -9 +14 @@ text
-old
+How the limiter
"""


def test_a_text_is_found_where_the_change_adds_it() -> None:
    """Quoting and keys around it do not matter."""
    assert find_places(DIFF, "How the limiter counts")[0] == Place("docs/b.md", 2)


def test_a_list_is_found_by_its_entries() -> None:
    """A list that stands on several lines has several places."""
    assert find_places(DIFF, "limits, redis") == (Place("docs/b.md", 4), Place("docs/b.md", 5))


def test_content_is_never_taken_for_a_header() -> None:
    """A line that looks like the header of another file stays a line of its own file."""
    assert {place.path for place, _ in added_lines(DIFF)} == {"docs/b.md"}
    assert (Place("docs/b.md", 7), "+++ b/other.md") in list(added_lines(DIFF))


def test_a_later_hunk_has_its_own_numbers() -> None:
    """The number is the one in the newer commit."""
    assert (Place("docs/b.md", 14), "How the limiter") in list(added_lines(DIFF))


def test_what_stands_nowhere_has_no_place() -> None:
    """Nothing is guessed, and an empty text is nowhere."""
    assert find_places(DIFF, "Kubernetes") == ()
    assert find_places(DIFF, " - ") == ()
    assert find_places(DIFF, "") == ()


@given(st.text(max_size=400), st.text(max_size=60))
def test_any_diff_and_any_text_have_bounded_places(diff: str, text: str) -> None:
    """Whatever a change holds, the search ends with at most a handful of places."""
    assert len(find_places(diff, text)) <= MAX_PLACES
