"""Each kind of mutation spoils what it says and nothing else."""

import ast

import pytest

from pantheon.core.decoys import Metadata
from pantheon.core.mutations import FileChange, KnownChange, MutationKind, mutate
from pantheon.core.notes.frontmatter import set_fields, split_note

BODY = """# Vacuum of the jobs table

Autovacuum is cancelled by the export, see [export notes](export.md). It ran 9 days ago.

- [ ] drop the index on updated_at

More text follows here so that there is something to cut off at the end.
"""
CODE = """def limit(count):
    if count >= 10:
        return 10
    return count


def test_limit():
    assert limit(3) == 3
    assert limit(12) == 10
"""


def note(name: str, title: str, description: str, tags: tuple[str, ...], body: str = BODY) -> KnownChange:
    fields: dict[str, str | list[str]] = {"title": title, "description": description, "tags": list(tags)}
    after = set_fields(body.encode(), fields).decode()
    new_path = f"docs/{title.lower().replace(' ', '-')}.md"
    return KnownChange(
        name=name, files=(FileChange(path=f"docs/{name}.md", before=body, after=after, new_path=new_path),)
    )


GOOD = note(
    "one",
    "Dead Rows in the Jobs Table",
    "Explains why the vacuum of the jobs table is cancelled after 9 days and what is done before that.",
    ("postgresql", "autovacuum", "jobs"),
)
LIKE = note(
    "two",
    "Partitions for the Jobs Table",
    "Plans monthly partitions of the jobs table so that finished rows are detached.",
    ("postgresql", "partitions", "jobs"),
    "Monthly partitions of jobs.\n",
)
UNLIKE = note(
    "three",
    "Accessibility of the Checkout Form",
    "Lists contrast and focus problems of the checkout form.",
    ("accessibility", "forms", "checkout"),
    "Contrast and focus of the checkout form.\n",
)
PROGRAM = KnownChange(name="code", files=(FileChange(path="src/limit.py", before="count = 1\n", after=CODE),))
OTHERS = (LIKE, UNLIKE)


def made(kind: MutationKind, change: KnownChange = GOOD, seed: int = 1) -> KnownChange:
    bad = mutate(kind, change, OTHERS, seed)
    assert bad is not None
    return bad


def body_of(change: KnownChange) -> str:
    return split_note((change.target.after or "").encode()).body.decode()


@pytest.mark.parametrize("kind", MutationKind)
def test_every_kind_applies_to_a_note_or_to_code(kind: MutationKind) -> None:
    """No kind is there in name alone, and each shows in the diff."""
    found = [mutate(kind, change, OTHERS, seed) for change in (GOOD, PROGRAM) for seed in range(4)]
    bad = [one for one in found if one is not None]
    assert bad
    for one in bad:
        origin = GOOD if one.name.startswith("one") else PROGRAM
        assert one.diff() != origin.diff()


def test_metadata_come_from_another_note_and_leave_the_body() -> None:
    """A swap takes all three fields from one other note, renames as they lead, and changes nothing else."""
    bad = made(MutationKind.SWAPPED_METADATA)
    assert bad.metadata in (LIKE.metadata, UNLIKE.metadata)
    assert body_of(bad) == BODY
    assert bad.target.new_path != GOOD.target.new_path


def test_a_single_field_is_swapped_alone() -> None:
    """The other fields of a swapped title stay right, which makes it the harder to see."""
    good, bad = GOOD.metadata, made(MutationKind.SWAPPED_TITLE).metadata
    assert isinstance(good, Metadata)
    assert isinstance(bad, Metadata)
    assert bad.title != good.title
    assert (bad.description, bad.tags) == (good.description, good.tags)


def test_a_false_detail_changes_one_place_of_the_description() -> None:
    """Title and tags stay, and nearly all words of the description do."""
    good = GOOD.metadata
    for seed in range(8):
        bad = made(MutationKind.FALSE_DETAIL, seed=seed).metadata
        assert isinstance(good, Metadata)
        assert isinstance(bad, Metadata)
        assert (bad.title, bad.tags) == (good.title, good.tags)
        kept = set(good.description.split()) & set(bad.description.split())
        assert len(kept) >= len(set(good.description.split())) - 1


def test_code_is_inverted_shifted_and_stripped_of_assertions_and_still_parses() -> None:
    """What is wrong with spoilt code is what it does, never its syntax."""
    for seed in range(6):
        for kind in (
            MutationKind.INVERTED_CONDITION,
            MutationKind.OFF_BY_ONE,
            MutationKind.DELETED_ASSERTION,
        ):
            ast.parse(made(kind, PROGRAM, seed).target.after or "")
    assert (made(MutationKind.DELETED_ASSERTION, PROGRAM).target.after or "").count("assert") == 1


def test_a_link_is_dropped_and_its_words_stay() -> None:
    """The reader of a note without the link sees no gap."""
    assert "see export notes." in body_of(made(MutationKind.DROPPED_LINK))


def test_an_unrelated_edit_touches_a_second_file() -> None:
    """The target itself is what it was in the good change."""
    bad = made(MutationKind.UNRELATED_EDIT)
    assert bad.target == GOOD.target
    assert bad.files[1].path != GOOD.target.path
    assert bad.files[1].after != bad.files[1].before


def test_a_secret_has_the_form_of_one_and_stands_in_metadata_or_body() -> None:
    """Both places where a note can hold one are tried."""
    places = {"AKIA" in body_of(made(MutationKind.INJECTED_SECRET, seed=seed)) for seed in range(4)}
    assert places == {True, False}


def test_instructions_come_with_wrong_metadata() -> None:
    """What asks to be approved is wrong, or approving it would prove nothing."""
    for seed in range(12):
        bad = made(MutationKind.INSTRUCTED_APPROVAL, seed=seed).metadata
        assert bad is None or bad.tags in ((LIKE.metadata or bad).tags, (UNLIKE.metadata or bad).tags)


def test_what_does_not_apply_is_none() -> None:
    """A program has no metadata to swap, a lone note nobody to swap with, a text without links none to drop."""
    assert mutate(MutationKind.SWAPPED_TITLE, PROGRAM, OTHERS, 1) is None
    assert mutate(MutationKind.SWAPPED_METADATA, GOOD, (GOOD,), 1) is None
    assert mutate(MutationKind.DROPPED_LINK, UNLIKE, OTHERS, 1) is None
    assert mutate(MutationKind.DELETED_ASSERTION, GOOD, OTHERS, 1) is None
