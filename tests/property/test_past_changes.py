"""Which changes of the past are known to be good: what holds of every history."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.history import NIGHT_TRAILER, UNDO_TRAILER, Commit
from pantheon.core.notes.metadata import metadata_of
from pantheon.core.operation import TASK_TRAILER, TRAILER
from pantheon.core.past_changes import (
    MAX_NOTE_BYTES,
    REGULAR,
    SETTLED,
    Edit,
    PastChange,
    PastCommit,
    PastEdit,
    find_settled,
    read_change,
    say_left_out,
)
from pantheon.shell.known_changes import shipped_notes

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=400)
NAMES = ("a.md", "b.md", "docs/c.md", "d.txt")
MESSAGES = ("Catalogue", f"x\n\n{NIGHT_TRAILER}: n\n", f"x\n\n{TASK_TRAILER}: t\n", "Revert something", "x")


def name(number: int) -> str:
    return f"{number:040x}"


def commit(number: int, day: float, message: str = "Catalogue", parents: int = 1) -> Commit:
    return Commit(
        id=name(number),
        parents=tuple(name(number - 1 - back) for back in range(parents)),
        tree="t",
        at=START + timedelta(days=day),
        message=message,
    )


def edit(
    path: str, blob: str, old_blob: str = "0", *, old_path: str | None = None, status: str = "M"
) -> Edit:
    return Edit(status, old_path or path, path, REGULAR, REGULAR, old_blob, blob)


@st.composite
def histories(draw: st.DrawFn) -> list[PastCommit]:
    """Histories with changes, renames, deletions, merges and reverts of a few notes, on days in any order."""
    made: list[PastCommit] = []
    for number in range(1, draw(st.integers(1, 14)) + 1):
        edits = []
        for path in draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)):
            old = draw(st.sampled_from([path, path, *NAMES]))
            status = draw(st.sampled_from("MMMAD")) if old == path else "R"
            blob, old_blob = draw(st.sampled_from("1234")), draw(st.sampled_from("1234"))
            edits.append(edit(path, blob, old_blob, old_path=old, status=status))
        message = draw(st.sampled_from(MESSAGES))
        if draw(st.integers(0, 4)) == 0:
            message = f"x\n\nThis reverts commit {name(draw(st.integers(1, number)))}."
        day = draw(st.integers(-5, 450))
        made.append(
            PastCommit(commit(number, day, message, draw(st.sampled_from((0, 1, 1, 1, 2)))), tuple(edits))
        )
    return made


def _after(commits: Sequence[PastCommit], one: PastEdit) -> Sequence[PastCommit]:
    at = next(number for number, past in enumerate(commits) if past.commit.id == one.commit)
    return commits[at + 1 :]


@given(histories())
def test_what_holds_is_small_made_by_people_and_was_left_standing(commits: list[PastCommit]) -> None:
    """One parent, one note, no trailer of ours, no revert, old enough, and nothing of the same name soon after."""
    by_id = {past.commit.id: past for past in commits}
    found = find_settled(commits, NOW)
    for one in found.edits:
        past = by_id[one.commit]
        assert past.commit.parents == (one.parent,)
        assert len(past.edits) == 1
        assert past.edits[0].status in "MR"
        assert one.path.endswith(".md")
        assert one.old_path.rpartition("/")[0] == one.path.rpartition("/")[0]
        assert not past.commit.landed
        assert "Pantheon-" not in past.commit.message
        assert not past.commit.takes_back
        assert not past.commit.subject.startswith("Revert")
        assert NOW - past.commit.at >= SETTLED
        path = one.path
        for later in _after(commits, one):
            for change in later.edits:
                if path in (change.old_path, change.path):
                    assert later.commit.at - past.commit.at >= SETTLED
                    assert change.blob != past.edits[0].old_blob
                if change.status == "R" and change.old_path == path:
                    path = change.path
        assert path == one.last_path


@given(histories())
def test_a_note_has_one_change_and_every_other_has_a_reason(commits: list[PastCommit]) -> None:
    """No two changes end at one name, newest first; what is not there is counted."""
    found = find_settled(commits, NOW)
    places = [one.last_path for one in found.edits]
    assert len(places) == len(set(places))
    order = [past.commit.id for past in commits]
    assert [order.index(one.commit) for one in found.edits] == sorted(
        (order.index(one.commit) for one in found.edits), reverse=True
    )
    alone = [
        past
        for past in commits
        if len(past.commit.parents) == 1
        and len(past.edits) == 1
        and past.edits[0].status in "MR"
        and past.edits[0].path.endswith(".md")
        and past.edits[0].old_path.endswith(".md")
        and past.edits[0].old_path.rpartition("/")[0] == past.edits[0].path.rpartition("/")[0]
    ]
    assert len(found.edits) + sum(found.left_out.values()) == len(alone)


@given(histories(), st.integers(0, 60))
def test_time_alone_only_adds(commits: list[PastCommit], days: int) -> None:
    """What is known to be good stays so on a later day, but for an older change that a newer one stands for."""
    before = {one.last_path for one in find_settled(commits, NOW).edits}
    after = {one.last_path for one in find_settled(commits, NOW + timedelta(days=days)).edits}
    assert before <= after


@given(histories())
def test_a_commit_more_that_undoes_takes_the_change_away(commits: list[PastCommit]) -> None:
    """Whatever was known to be good is not when the next commit says that it takes it back."""
    for one in find_settled(commits, NOW).edits:
        undo = f"Take back\n\n{UNDO_TRAILER}: {one.commit}\n"
        last = PastCommit(commit(len(commits) + 1, 399, undo), ())
        assert one.commit not in {left.commit for left in find_settled([*commits, last], NOW).edits}


@pytest.mark.parametrize("trailer", [NIGHT_TRAILER, TASK_TRAILER, TRAILER])
def test_what_a_night_made_is_left_out(trailer: str) -> None:
    """However it came onto the branch; without the line the same commit holds."""
    for message, there in (("Catalogue\n", 1), (f"Squashed\n\n  {trailer}: x\n", 0)):
        found = find_settled([PastCommit(commit(1, 0, message), (edit("a.md", "2", "1"),))], NOW)
        assert len(found.edits) == there
    assert say_left_out(found.left_out) == "1 made by a night"


def test_a_clock_that_ran_ahead_makes_nothing_known() -> None:
    """A commit from the future is young, and a successor dated before it came soon after it."""
    first = PastCommit(commit(1, 9000), (edit("a.md", "2", "1"),))
    assert find_settled([first], NOW).edits == ()
    early = PastCommit(commit(2, -900), (edit("b.md", "2", "1"),))
    soon = PastCommit(commit(1, 0), (edit("b.md", "3", "2"),))
    assert [one.commit for one in find_settled([soon, early], NOW).edits] == [name(2)]


NOTES = tuple(shipped_notes().items())
EDIT = PastEdit(name(2), name(1), "notes/2026.01.md", "notes/a-plain-name.md", "notes/a-plain-name.md")


def parts(number: int) -> tuple[bytes, bytes]:
    """Front matter and body of a note that is catalogued rightly."""
    head, _, body = NOTES[number][1][4:].partition(b"\n---\n")
    return b"---\n" + head + b"\n---\n", body


@given(st.integers(0, len(NOTES) - 1), st.sampled_from([b"", b"\n", b"\n\n"]), st.booleans())
def test_front_matter_that_a_person_gave_is_read_whatever_stood_around_it(
    number: int, gap: bytes, dated: bool
) -> None:
    """The same metadata as a night's tools would set them, over the text as it was."""
    head, body = parts(number)
    shown = head.replace(b"---\n", b"---\ndate: 2026-01-01\n", 1) if dated else head
    found = read_change(EDIT, body, shown + gap + body)
    assert isinstance(found, PastChange)
    assert found.before.encode() == body
    assert found.after.endswith(body.decode())
    assert metadata_of(found.after.encode()) == metadata_of(head + body)
    assert "2026-01-01" not in found.after.partition("\n---\n")[0]
    assert found.name == f"notes/a-plain-name.md@{name(2)[:12]}"


def test_what_is_no_good_cataloguing_says_why() -> None:
    """Another text, other metadata, no metadata, no change of them, a name that says nothing, no text at all."""
    head, body = parts(0)
    other, _ = parts(len(NOTES) - 1)
    unnamed = EDIT._replace(path=EDIT.old_path)
    for given_edit, before, after, why in (
        (EDIT, body, head + body + b"one line more\n", "with a change of the text itself"),
        (EDIT, body, other + body, "with metadata that a check objects to"),
        (EDIT, body, body + b"\n", "without a change of all the metadata"),
        (EDIT, head + body, head + body, "without a change of all the metadata"),
        (EDIT, b"", head, "with a change of the text itself"),
        (unnamed, body, head + body, "without a telling name"),
        (EDIT._replace(old_path="notes/a\x1b.md"), body, head + body, "with a name that no task can have"),
        (EDIT._replace(old_path="notes/a\\b.md"), body, head + body, "with a name that no task can have"),
        (
            EDIT._replace(path="no\udcff/a-plain-name.md"),
            body,
            head + body,
            "with a name that no task can have",
        ),
        (EDIT, None, head + body, "not readable as a note"),
        (EDIT, body + b"\xff", head + body + b"\xff", "not readable as a note"),
        (EDIT, body, head + body + b"x" * MAX_NOTE_BYTES, "not readable as a note"),
    ):
        assert read_change(given_edit, before, after) == why
