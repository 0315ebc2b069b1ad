"""Which changes of a repository's past are known to be good: small, made by people, and left standing.

Invariants (property-tested):
- no merge, no commit that takes another back, none that was taken back, and none that Pantheon had a hand in;
- a change that was followed by another of the same note within ``SETTLED``, or is itself younger, is not known to be
  good, and neither is one that was undone at any time later;
- at most one change of a note, the last that holds; newest first.

Accepted trade-off: what a night landed is left out even where people kept it. Kept is not read, and reviewers that are
measured by what reviewers let pass are measured by themselves.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from pantheon.core.errors import ToolError
from pantheon.core.history import NIGHT_TRAILER, UNDO_TRAILER, UNDONE_TRAILER, Commit, find_reverts
from pantheon.core.model import Frozen
from pantheon.core.mutations import NOTE_SUFFIXES
from pantheon.core.notes.frontmatter import set_fields, split_note
from pantheon.core.notes.metadata import metadata_of
from pantheon.core.notes.slug import is_final
from pantheon.core.notes.textcheck import check_metadata
from pantheon.core.operation import TASK_TRAILER, TRAILER
from pantheon.core.task import is_plain

SETTLED = timedelta(days=14)
"""How long a change must have stood, untouched, before anybody says that it was good."""
MAX_COMMITS = 5000
"""How far back the past is looked at."""
MAX_NOTE_BYTES = 200_000
REGULAR = "100644"
_OURS = (NIGHT_TRAILER, TASK_TRAILER, TRAILER, UNDO_TRAILER, UNDONE_TRAILER)


class Edit(NamedTuple):
    """What a commit did to one file."""

    status: str
    """One letter, as git has it: A, M, D, R (renamed), C (copied), T (its type changed)."""
    old_path: str
    path: str
    old_mode: str
    mode: str
    old_blob: str
    """Id of its content before."""
    blob: str
    """Id of its content after."""


class PastCommit(NamedTuple):
    """One commit and the files it changed; of a merge, those that it left as no parent had them."""

    commit: Commit
    edits: tuple[Edit, ...]


class PastEdit(NamedTuple):
    """One commit's change of one note, which stood."""

    commit: str
    parent: str
    old_path: str
    path: str
    last_path: str
    """The name that the note had last; after the newest commit it may be gone."""


class SettledEdits(NamedTuple):
    """What a repository's past has, and what was left out of it."""

    edits: tuple[PastEdit, ...]
    """Newest first."""
    left_out: Mapping[str, int]
    """Why -> how many changes of one note by itself."""


class PastChange(Frozen):
    """A change of a note's metadata that is known to be good."""

    commit: str
    parent: str
    old_path: str
    before: str
    path: str
    after: str
    last_path: str

    @property
    def name(self) -> str:
        """What tells it from every other change."""
        return f"{self.path}@{self.commit[:12]}"


@dataclass
class _Candidate:
    edit: PastEdit
    at: datetime
    old_blob: str
    against: str


def find_settled(commits: Sequence[PastCommit], now: datetime) -> SettledEdits:
    """Return the changes of one note by itself that stood.

    Args:
        commits: of one branch, oldest first, parents before children.
        now: the time, aware.
    """
    taken_back = find_reverts([one.commit for one in commits])
    notes: dict[str, list[_Candidate]] = {}
    found: list[_Candidate] = []
    for past in commits:
        for edit in past.edits:
            _follow(notes, past.commit, edit)
        candidate = _candidate(past, taken_back, now)
        if candidate is not None:
            found.append(candidate)
            notes.setdefault(candidate.edit.path, []).append(candidate)
    last_path = {one.edit.commit: path for path, changes in notes.items() for one in changes}
    left_out: Counter[str] = Counter()
    kept: dict[str, PastEdit] = {}
    for one in reversed(found):
        path = last_path[one.edit.commit]
        if one.against or path in kept:
            left_out[one.against or "older than another of the same note"] += 1
        else:
            kept[path] = one.edit._replace(last_path=path)
    return SettledEdits(tuple(kept.values()), dict(left_out))


def _follow(notes: dict[str, list[_Candidate]], commit: Commit, edit: Edit) -> None:
    """Note at earlier changes of a file that it was changed again, and follow it to its new name."""
    if edit.status == "C":
        return
    paths = dict.fromkeys((edit.old_path, edit.path))
    touched = [one for path in paths for one in notes.get(path, ())]
    for one in touched:
        if edit.blob == one.old_blob:
            one.against = one.against or "taken back"
        if commit.at - one.at < SETTLED:
            one.against = one.against or "changed again soon after"
    if touched and len(paths) > 1:
        notes.pop(edit.old_path, None)
        notes[edit.path] = touched


def _candidate(past: PastCommit, taken_back: Mapping[str, str], now: datetime) -> _Candidate | None:
    """Return a commit that changed one note and nothing else, with what speaks against it so far."""
    commit = past.commit
    if len(commit.parents) != 1 or len(past.edits) != 1:
        return None
    edit = past.edits[0]
    if not _is_note_edit(edit):
        return None
    against = ""
    if any(commit.said(name) for name in _OURS):
        against = "made by a night"
    elif commit.takes_back or commit.subject.lower().startswith("revert"):
        against = "takes something back"
    elif commit.id in taken_back:
        against = "taken back"
    elif now - commit.at < SETTLED:
        against = f"younger than {SETTLED.days} days"
    known = PastEdit(commit.id, commit.parents[0], edit.old_path, edit.path, edit.path)
    return _Candidate(known, commit.at, edit.old_blob, against)


def _is_note_edit(edit: Edit) -> bool:
    """Tell whether a note was changed, in its folder and as a plain file, before and after."""
    return (
        edit.status in "MR"
        and (edit.old_mode, edit.mode) == (REGULAR, REGULAR)
        and all(path.lower().endswith(NOTE_SUFFIXES) for path in (edit.old_path, edit.path))
        and edit.old_path.rpartition("/")[0] == edit.path.rpartition("/")[0]
    )


def read_change(edit: PastEdit, before: bytes | None, after: bytes | None) -> PastChange | str:
    """Return what a commit made of a note, or why that is no change that catalogues it.

    Its metadata and its name are taken over, as a night's tools set them, and nothing else of its front matter.

    Args:
        edit: the commit and the note's names.
        before: whole content in its parent.
        after: whole content in the commit.
    """
    if not (is_plain(edit.old_path) and is_plain(edit.path)):
        return "with a name that no task can have"
    if before is None or after is None or max(len(before), len(after)) > MAX_NOTE_BYTES:
        return "not readable as a note"
    own = metadata_of(after)
    body = split_note(after).body
    if own is None or own == metadata_of(before):
        return "without a change of all the metadata"
    if split_note(before).body.strip() != body.strip() or not body.strip():
        return "with a change of the text itself"
    if not is_final(edit.path.rpartition("/")[2]):
        return "without a telling name"
    if check_metadata(own, body.decode("utf-8", "replace")):
        return "with metadata that a check objects to"
    fields: dict[str, str | list[str]] = {
        "title": own.title, "description": own.description, "tags": list(own.tags),
    }  # fmt: skip
    try:
        texts = before.decode("utf-8"), set_fields(before, fields).decode("utf-8")
    except (UnicodeDecodeError, ToolError):
        return "not readable as a note"
    return PastChange(
        commit=edit.commit,
        parent=edit.parent,
        old_path=edit.old_path,
        before=texts[0],
        path=edit.path,
        after=texts[1],
        last_path=edit.last_path,
    )


def say_left_out(left_out: Mapping[str, int]) -> str:
    """Return why changes were left out and how many, most first, for people; empty where none was."""
    ranked = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {why}" for why, count in ranked)
