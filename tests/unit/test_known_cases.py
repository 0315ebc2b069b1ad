"""Which known changes are tried, and in which order."""

from pantheon.core.calibration import GOOD
from pantheon.core.known_cases import known_notes, plan_cases, raw_name
from pantheon.core.mutations import FileChange, KnownChange, MutationKind
from pantheon.core.notes.frontmatter import split_note
from pantheon.shell.known_changes import shipped_notes

FILES = {f"notes/{name}": data for name, data in shipped_notes().items()}
NOTES = known_notes(FILES)


def good(number: int) -> KnownChange:
    """The change that catalogues a note."""
    note = NOTES[number]
    raw = FileChange(
        path=raw_name(note.path, number),
        before=split_note(note.text.encode()).body.decode(),
        after=note.text,
        new_path=note.path,
    )
    return KnownChange(name=note.path, files=(raw,))


def test_every_shipped_note_is_a_known_one() -> None:
    """No check objects to what travels as known to be right; enough of them for a qualification."""
    assert len(NOTES) == len(FILES) >= 30


def test_what_is_not_catalogued_rightly_is_not_known() -> None:
    """Nothing without metadata, body or telling name, with metadata of another note, or where no task can lead."""
    path, data = next(iter(FILES.items()))
    other = list(FILES.values())[-1]
    swapped = data[: len(data) - len(split_note(data).body)] + split_note(other).body
    empty = data[: len(data) - len(split_note(data).body)]
    broken = {
        "notes/a-plain-note.md": b"text\n", "notes/2026.01.01.md": data, "notes/another-name.md": swapped,
        "notes/an-empty-note.md": empty, "notes/not-text.md": data + b"\xff",
        "no\\tes/a-plain-note.md": data, "no\x1btes/a-plain-note.md": data,
        "no\udcfftes/a-plain-note.md": data,
    }  # fmt: skip
    assert known_notes(broken) == ()
    assert [note.path for note in known_notes({**broken, path: data})] == [path]
    assert "notes/another-name.md" in {note.path for note in known_notes(broken, checked=False)}


def test_a_note_has_its_good_change_first_and_no_case_twice() -> None:
    """As many cases as were asked for, each another change, all of one subject."""
    others = [note for note in NOTES if note.path != NOTES[0].path]
    cases = plan_cases(good(0), others, subject=NOTES[0].path, share=13, seed=0)
    assert len(cases) == 13
    assert cases[0].kind == GOOD
    assert all(case.kind != GOOD for case in cases[1:])
    assert len({case.name for case in cases}) == len({case.change.files for case in cases}) == 13
    assert {case.subject for case in cases} == {NOTES[0].path}
    assert cases == plan_cases(good(0), others, subject=NOTES[0].path, share=13, seed=0)


def test_a_small_share_meets_all_kinds_from_note_to_note() -> None:
    """Five cases a note are different kinds on the next note."""
    kinds: set[str] = set()
    for number in range(8):
        others = [note for note in NOTES if note.path != NOTES[number].path]
        kinds |= {c.kind for c in plan_cases(good(number), others, subject="s", share=5, seed=number)}
    assert len(kinds & set(MutationKind)) >= 10


def test_a_name_that_says_nothing_stays_in_its_folder() -> None:
    """Uncatalogued, a note lies where it lay."""
    assert raw_name("a/b/telling-name.md", 7) == "a/b/note-0007.md"
    assert raw_name("telling-name.markdown", 12) == "note-0012.markdown"
