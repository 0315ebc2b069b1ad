"""Known-bad changes, made from known-good ones: what measures whether a gate sees anything at all.

A change that is known to be good is spoilt in one known way. What comes out is wrong for certain, and in all
other respects it is what the good change was, so that nothing but the fault can give it away.

Invariants (property-tested):
- a mutation is a pure function of the kind, the changes and the seed;
- what it returns is never the good change itself, nor one without effect; where a kind does not apply, it is None;
- what the files were before the change is never touched: only what the change makes of them.

Source: DESIGN.md, section 10 ("Canaries").
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

from pydantic import Field

from pantheon.core.decoys import Metadata, content_words
from pantheon.core.errors import ToolError
from pantheon.core.model import Frozen
from pantheon.core.mutation_edits import (
    delete_assertion,
    drop_link,
    falsify_detail,
    invert_condition,
    make_secret,
    shift_by_one,
    swap_term,
    truncate,
)
from pantheon.core.mutation_words import APPROVALS, SECRET_LINES, STRAY_LINES, pick
from pantheon.core.notes.frontmatter import set_fields, split_note
from pantheon.core.notes.metadata import metadata_of
from pantheon.core.notes.slug import slugify

NOTE_SUFFIXES = (".md", ".markdown")
LIKE = 3
"""Among how many of the most alike others the metadata of another note are drawn."""


class MutationKind(StrEnum):
    """In which one way a good change is spoilt."""

    SWAPPED_METADATA = "swapped_metadata"
    """Title, description and tags of another note, one of the most alike."""
    SWAPPED_TITLE = "swapped_title"
    SWAPPED_DESCRIPTION = "swapped_description"
    SWAPPED_TERM = "swapped_term"
    """The title and the description speak of a word that belongs to another note."""
    FALSE_DETAIL = "false_detail"
    """A description that fits in all but one detail, which says the opposite or another number."""
    TRUNCATED_FILE = "truncated_file"
    INVERTED_CONDITION = "inverted_condition"
    OFF_BY_ONE = "off_by_one"
    DELETED_ASSERTION = "deleted_assertion"
    DROPPED_LINK = "dropped_link"
    INJECTED_SECRET = "injected_secret"
    UNRELATED_EDIT = "unrelated_edit"
    """Another file is edited in passing."""
    INSTRUCTED_APPROVAL = "instructed_approval"
    """Metadata of another note, with words to the reviewers that they are to approve it."""


class FileChange(Frozen):
    """What a change makes of one file."""

    path: str
    """Before the change."""
    before: str | None
    """Whole text; None where the file was not there."""
    after: str | None
    """Whole text; None where the file is gone."""
    new_path: str | None = None
    """After the change, where it was renamed."""


class KnownChange(Frozen):
    """One change of which it is known whether it is good."""

    name: str = Field(min_length=1)
    """Tells it from others."""
    files: tuple[FileChange, ...] = Field(min_length=1)
    """What it touches; the first is its target."""

    @property
    def target(self) -> FileChange:
        """The file that the change is about."""
        return self.files[0]

    @property
    def metadata(self) -> Metadata | None:
        """What the change catalogues its target under; None where it is no note or has none."""
        after = self.target.after
        return None if after is None or not _is_note(self) else metadata_of(after.encode())

    def diff(self) -> str:
        """Return the change as a unified diff."""
        return "".join(_file_diff(one) for one in self.files)


def mutate(
    kind: MutationKind, change: KnownChange, others: Sequence[KnownChange], seed: int
) -> KnownChange | None:
    """Return a known-bad change made from a known-good one; None where the kind does not apply.

    Args:
        kind: in which way it is spoilt.
        change: the good one.
        others: good changes of other targets, for what is taken from elsewhere.
        seed: chooses among the ways and places that there are.
    """
    rest = [other for other in others if other.target.path != change.target.path]
    bad = _MAKERS[kind](change, rest, seed)
    if bad is None or bad.files == change.files:
        return None
    return bad.model_copy(update={"name": f"{change.name}+{kind}.{seed}"})


def _swapped(*fields: str) -> "Maker":
    """Make a maker that takes these fields from one of the most alike others."""

    def make(change: KnownChange, others: Sequence[KnownChange], seed: int) -> KnownChange | None:
        own, other = change.metadata, _alike(change, others, seed)
        if own is None or other is None:
            return None
        return _catalogued(change, own.model_copy(update={f: getattr(other, f) for f in fields}), others)

    return make


def _swapped_term(change: KnownChange, others: Sequence[KnownChange], seed: int) -> KnownChange | None:
    own, other = change.metadata, _alike(change, others, seed)
    if own is None or other is None:
        return None
    found = swap_term(own, f"{other.title} {other.description}", change.target.before or "", seed)
    return None if found is None else _catalogued(change, found, others)


def _false_detail(change: KnownChange, others: Sequence[KnownChange], seed: int) -> KnownChange | None:
    own = change.metadata
    false = None if own is None else falsify_detail(own.description, seed)
    if own is None or false is None:
        return None
    return _catalogued(change, own.model_copy(update={"description": false}), others)


def _edited(edit: Callable[[str, int], str | None]) -> "Maker":
    """Make a maker that edits what the change leaves of its target; of a note, the body."""

    def make(change: KnownChange, _: Sequence[KnownChange], seed: int) -> KnownChange | None:
        head, body = _parts(change)
        found = edit(body, seed)
        return None if found is None else _with_after(change, head + found)

    return make


def _injected_secret(change: KnownChange, others: Sequence[KnownChange], seed: int) -> KnownChange | None:
    own = change.metadata
    line = pick(SECRET_LINES, seed, "line").format(secret=make_secret(seed))
    if own is not None and seed % 2:
        shown = own.model_copy(update={"description": f"{own.description} {line}"})
        return _catalogued(change, shown, others)
    head, body = _parts(change)
    return _with_after(change, f"{head}{body.rstrip()}\n\n{line}\n")


def _unrelated_edit(change: KnownChange, others: Sequence[KnownChange], seed: int) -> KnownChange | None:
    touched = {path for one in change.files for path in (one.path, one.new_path)}
    free = [o.target for o in others if o.target.before is not None and o.target.path not in touched]
    if not free:
        return None
    found = pick(free, seed, "file")
    before = found.before or ""
    edit = FileChange(
        path=found.path, before=before, after=f"{before.rstrip()}\n{pick(STRAY_LINES, seed, 'line')}\n"
    )
    return change.model_copy(update={"files": (*change.files, edit)})


def _instructed(change: KnownChange, others: Sequence[KnownChange], seed: int) -> KnownChange | None:
    words = pick(APPROVALS, seed, "words")
    own, other = change.metadata, _alike(change, others, seed)
    if own is None or other is None:
        head, body = _parts(change)
        return _with_after(change, f"{head}{body.rstrip()}\n{words}\n") if change.target.after else None
    place = pick(("title", "description", "body"), seed, "place")
    if place == "title":
        other = other.model_copy(update={"title": f"{other.title}. {words}"})
    elif place == "description":
        other = other.model_copy(update={"description": f"{words} {other.description}"})
    bad = _catalogued(change, other, others)
    if bad is None or place != "body":
        return bad
    return _with_after(bad, f"{bad.target.after or ''}\n{words}\n")


def rank_alike(own: Metadata, others: Iterable[Metadata]) -> list[Metadata]:
    """Return the others without ``own`` itself, those first that share most words with it."""
    words = content_words(f"{own.title} {own.description}")
    return sorted(
        set(others) - {own},
        key=lambda item: (
            -len(content_words(f"{item.title} {item.description}") & words),
            (item.title, item.description, item.tags),
        ),
    )


def _alike(change: KnownChange, others: Sequence[KnownChange], seed: int) -> Metadata | None:
    """Return another note's metadata: one of those that share most words with the change's own."""
    own = change.metadata
    known = [found for other in others if (found := other.metadata) is not None]
    ranked = [] if own is None else rank_alike(own, known)
    return pick(ranked[:LIKE], seed, "other") if ranked else None


def _catalogued(change: KnownChange, metadata: Metadata, others: Sequence[KnownChange]) -> KnownChange | None:
    """Return the change with other metadata, and, where the target is renamed, with the name they lead to."""
    target = change.target
    fields: dict[str, str | list[str]] = {
        "title": metadata.title,
        "description": metadata.description,
        "tags": list(metadata.tags),
    }
    try:
        after = set_fields((target.after or "").encode(), fields).decode()
    except ToolError:
        return None  # The front matter's layout does not allow the edit.
    return _with_after(change, after, _renamed(target, metadata.title, others))


def _renamed(target: FileChange, title: str, others: Sequence[KnownChange]) -> str | None:
    if target.new_path is None:
        return None
    folder, _, old = target.new_path.rpartition("/")
    try:
        name = f"{slugify(title)}.{old.rpartition('.')[2]}"
    except ValueError:
        return target.new_path
    path = f"{folder}/{name}" if folder else name
    taken = {other.target.path for other in others}
    return target.new_path if path in taken else path


def _with_after(change: KnownChange, after: str, new_path: str | None = None) -> KnownChange:
    target = change.target
    changed = target.model_copy(update={"after": after, "new_path": new_path or target.new_path})
    return change.model_copy(update={"files": (changed, *change.files[1:])})


def _parts(change: KnownChange) -> tuple[str, str]:
    """Return what of the target an edit leaves alone, its front matter, and what it may edit."""
    after = change.target.after or ""
    if not _is_note(change):
        return "", after
    body = split_note(after.encode()).body.decode()
    return after[: len(after) - len(body)], body


def _is_note(change: KnownChange) -> bool:
    return change.target.path.lower().endswith(NOTE_SUFFIXES)


def _file_diff(one: FileChange) -> str:
    old, new = ((text or "").splitlines(keepends=True) for text in (one.before, one.after))
    lines = difflib.unified_diff(old, new, f"a/{one.path}", f"b/{one.new_path or one.path}")
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


Maker = Callable[[KnownChange, Sequence[KnownChange], int], KnownChange | None]
_MAKERS: Mapping[MutationKind, Maker] = {
    MutationKind.SWAPPED_METADATA: _swapped("title", "description", "tags"),
    MutationKind.SWAPPED_TITLE: _swapped("title"),
    MutationKind.SWAPPED_DESCRIPTION: _swapped("description"),
    MutationKind.SWAPPED_TERM: _swapped_term,
    MutationKind.FALSE_DETAIL: _false_detail,
    MutationKind.TRUNCATED_FILE: _edited(truncate),
    MutationKind.INVERTED_CONDITION: _edited(invert_condition),
    MutationKind.OFF_BY_ONE: _edited(shift_by_one),
    MutationKind.DELETED_ASSERTION: _edited(delete_assertion),
    MutationKind.DROPPED_LINK: _edited(drop_link),
    MutationKind.INJECTED_SECRET: _injected_secret,
    MutationKind.UNRELATED_EDIT: _unrelated_edit,
    MutationKind.INSTRUCTED_APPROVAL: _instructed,
}
