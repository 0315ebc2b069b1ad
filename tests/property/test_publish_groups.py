"""How a night's changes are split into pull requests."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from pantheon.core.publishing import (
    MAX_TITLE,
    Landing,
    calm,
    picked_message,
    plan_groups,
    request_body,
    request_title,
)

PATHS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3, unique=True)
PACKAGES = st.sampled_from(("", "docs", "Docs", "a/b", "ü", "docs-2", "docs 2"))


@st.composite
def landings(draw: st.DrawFn) -> list[Landing]:
    """Changes with packages and paths that overlap now and then."""
    pairs = draw(st.lists(st.tuples(PACKAGES, PATHS), max_size=12))
    return [
        Landing(
            commit=f"{n:040x}", parent="p", task=f"b/{n}", package=package, subject="s", paths=tuple(paths)
        )
        for n, (package, paths) in enumerate(pairs)
    ]


@given(landings())
def test_each_change_is_in_one_group_in_its_order(changes: list[Landing]) -> None:
    """None is lost, none is there twice, none overtakes another; the groups come by their first."""
    groups = plan_groups(changes)
    assert sorted(c.commit for g in groups for c in g.changes) == [c.commit for c in changes]
    for group in groups:
        assert [c.commit for c in group.changes] == sorted(c.commit for c in group.changes)
    assert [g.changes[0].commit for g in groups] == sorted(g.changes[0].commit for g in groups)


@given(landings())
def test_groups_share_neither_path_nor_package_nor_name(changes: list[Landing]) -> None:
    """So each can be merged without the others, and has a branch of its own."""
    groups = plan_groups(changes)
    for first in groups:
        for second in groups:
            if first is not second:
                paths = [{path for c in g.changes for path in c.paths} for g in (first, second)]
                assert not paths[0] & paths[1]
                assert not set(first.packages) & set(second.packages)
                assert first.slug != second.slug
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*", group.slug) for group in groups)


@given(landings())
def test_all_of_it_as_one(changes: list[Landing]) -> None:
    """Where one is wanted there is one, or none for nothing."""
    assert len(plan_groups(changes, one=True)) == (1 if changes else 0)


@given(landings(), st.text(max_size=120))
@example([], "@¹ and #٣")
def test_what_a_model_wrote_calls_nobody(changes: list[Landing], text: str) -> None:
    """No mention, no reference to an issue and no address is left, in titles, texts and commits; one line stays one."""
    text = f"{text} @octocat fixes #12, closes https://forge.invalid/o/r/issues/1 and GH-3 `"
    said = [change.model_copy(update={"subject": text}) for change in changes]
    shown = [calm(text), picked_message(f"{text}\n\nPantheon-Task: b/1", "c").split("\n")[0]]
    for group in plan_groups(said):
        assert len(request_title(group, "n1")) <= MAX_TITLE
        shown += [request_title(group, "n1"), request_body(group, "n1", "pantheon/night-n1", {})]
    for one in shown:
        assert not re.search(r"@\w|#\d|GH-\d|://", one)
        assert "\r" not in one and "\x1b" not in one


def test_a_text_cannot_leave_its_code_span() -> None:
    """A back quote in a subject does not end the span that it stands in."""
    change = Landing(
        commit="c" * 40, parent="p", task="b/1", package="d", subject="a` <b> [x](y) `", paths=("a",)
    )
    (group,) = plan_groups([change])
    line = next(one for one in request_body(group, "n1", "b", {}).split("\n") if one.startswith("- "))
    assert line.count("`") == 2


def test_a_long_text_is_bounded_and_says_so() -> None:
    """A night of a thousand changes still makes a text that a forge takes."""
    many = [
        Landing(
            commit=f"{n:040x}", parent="p", task=f"b/{n}", package="d", subject="s" * 120, paths=(f"{n}",)
        )
        for n in range(1_000)
    ]
    (group,) = plan_groups(many)
    body = request_body(
        group, "n1", "b", {one.task: ("review.peerA@1: pass, margin +1.40",) * 2 for one in many}
    )
    assert len(body) < 60_000
    assert "and 900 more" in body
