"""The deterministic judgement of a changed note: what tools do passes, and every other change has a named reason."""

import pytest

from pantheon.core.notes.check import check_note_change
from pantheon.core.task import Task
from pantheon.testing.tree import FakeTree
from pantheon.tools.notes import NOTE_TOOLS
from pantheon.tools.registry import Registry, ToolContext

OLD, NEW = "docs/2026.01.02.md", "docs/keyset-pagination-for-orders.md"
RENAMES = {OLD: NEW}
BASE = (
    b'---\nrelated: "[[2026.01.02]]"  # itself\nstatus: draft\n---\n'
    b"The orders endpoint is slow: OFFSET paging reads every row that it throws away.\r\n\r\n"
    b"Keyset pagination needs a cursor and an index. See [above](2026.01.02.md#top).\n\n"
    b"```\n[code](2026.01.02.md)\n```"
)


def worked_on(base: bytes = BASE) -> bytes:
    """Return the note as the tools leave it."""
    tree = FakeTree({OLD: base})
    task = Task(id="t", kind="docops", goal="g", targets=(OLD,))
    context = ToolContext(files=tree, task=task, tree_paths=tree.list_files())
    registry = Registry(NOTE_TOOLS)
    proposal = {
        "title": "Keyset Pagination for Orders",
        "description": "Why OFFSET paging is slow and how a cursor with an index replaces it.",
        "tags": ["Keyset Pagination", "orders", "cursor"],
    }
    registry.call("set_front_matter", {"path": OLD, **proposal}, context)
    registry.call("rename_note", {"path": OLD}, context)
    return tree.content[NEW]


def test_what_the_tools_do_passes() -> None:
    """Front matter set, name given, links followed in the body and in front matter: nothing to object to."""
    head = worked_on()
    assert b'related: "[[keyset-pagination-for-orders]]"  # itself' in head
    assert check_note_change(OLD, NEW, BASE, head, RENAMES) == ()
    assert check_note_change(NEW, NEW, head, head, {}) == ()


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        (b"endpoint is slow", b"endpoint was slow", ("body",)),
        (b"\r\n\r\n", b"\n\n", ("body",)),
        (b"```\n[code](2026.01.02.md)", b"```\n[code](keyset-pagination-for-orders.md)", ("body",)),
        (b"[above](keyset-pagination-for-orders.md#top)", b"[above](https://example.org)", ("body",)),
        (b"status: draft", b"status: done", ("front_matter",)),
        (b"status: draft\n", b"", ("front_matter",)),
        (b"status: draft", b"status: draft\nlayout: x", ("front_matter",)),
        (b'"[[keyset-pagination-for-orders]]"', b'"[[other]]"', ("front_matter",)),
        (b"title: Keyset Pagination for Orders", b"title: Notes and Overview", ("front_matter",)),
        (b"description:", b"descriptive:", ("front_matter",)),
        (b"title: Keyset", b"title: [Keyset", ("front_matter",)),
    ],
)
def test_any_other_change_is_named(old: bytes, new: bytes, names: tuple[str, ...]) -> None:
    """One byte of the body, one key of others, or a bad proposal, and the check that is concerned says why."""
    head = worked_on()
    assert head.count(old) == 1
    problems = check_note_change(OLD, NEW, BASE, head.replace(old, new), RENAMES)
    assert tuple(name for name, _ in problems) == names
    assert all(reason for _, reason in problems)


def test_a_name_that_says_nothing_is_named() -> None:
    """Work without a telling name is not done."""
    head = worked_on()
    problems = check_note_change(OLD, "docs/note-3.md", BASE, head, {OLD: "docs/note-3.md"})
    assert [name for name, _ in problems] == ["front_matter", "body", "file_name"]


def test_a_note_that_was_not_worked_on_fails() -> None:
    """No front matter and a dated name are two reasons."""
    problems = check_note_change(OLD, OLD, b"text", b"text", {})
    assert [name for name, _ in problems] == ["front_matter", "file_name"]
