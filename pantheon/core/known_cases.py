"""Which known changes a calibration tries, in which order.

Invariants:
- the same notes and the same seed make the same cases;
- cases of one note follow one another, so that the long prefix of its prompts is computed once;
- for each note the good change comes first, then the kinds of mutation in turn until the note has its share.
"""

from collections.abc import Mapping, Sequence

from pantheon.core.calibration import GOOD
from pantheon.core.decoys import Metadata
from pantheon.core.model import Frozen
from pantheon.core.mutations import FileChange, KnownChange, MutationKind, mutate
from pantheon.core.notes.frontmatter import split_note
from pantheon.core.notes.metadata import metadata_of
from pantheon.core.notes.slug import is_final
from pantheon.core.notes.textcheck import check_metadata
from pantheon.core.task import is_plain

SEEDS = 4
"""Ways in which each kind is tried on a note, when its share is larger than the number of kinds."""
CHEAP_FIRST = list(MutationKind).index(MutationKind.TRUNCATED_FILE)
"""From which kind on a note is spoilt a second time: those before it cost a reviewer's questions each."""
TURN = 4
"""By how many kinds the order is turned from note to note, so that a small share still meets all of them."""


class KnownNote(Frozen):
    """A note that is catalogued rightly."""

    path: str
    """A telling name."""
    text: str
    """With its front matter."""

    @property
    def metadata(self) -> Metadata:
        """What it is catalogued under."""
        found = metadata_of(self.text.encode())
        assert found is not None, "a note without metadata is no known one"
        return found


class KnownCase(Frozen):
    """One case of a calibration."""

    name: str
    subject: str
    """Path of the note that it is about."""
    kind: str
    change: KnownChange
    source: str | None = None
    """The commit that made the good change; None where it was made from a file as it is."""


def known_notes(files: Mapping[str, bytes], *, checked: bool = True) -> tuple[KnownNote, ...]:
    """Return those files that are notes with a telling name and metadata to which no check objects, by path.

    Args:
        files: path -> bytes.
        checked: ask the checks; without, those to which they object are returned too, so that they can be counted.
    """
    found = []
    for path, data in sorted(files.items()):
        metadata = metadata_of(data)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            continue
        body = split_note(data).body.decode("utf-8", "replace")
        if (
            metadata is None
            or not body.strip()
            or not is_final(path.rpartition("/")[2])
            or not is_plain(path)
        ):
            continue
        if not checked or not check_metadata(metadata, body):
            found.append(KnownNote(path=path, text=text))
    return tuple(found)


def raw_name(path: str, number: int) -> str:
    """Return a name that says nothing, in the folder of ``path``, for a note before it was catalogued."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/" * bool(folder) + f"note-{number:04}.{name.rpartition('.')[2]}"


def plan_cases(
    good: KnownChange,
    others: Sequence[KnownNote],
    *,
    subject: str,
    share: int,
    seed: int,
    source: str | None = None,
) -> tuple[KnownCase, ...]:
    """Return the cases of one note.

    Args:
        good: the change that catalogues it.
        others: the other notes, as they lie beside it.
        subject: its path.
        share: cases wanted, the good one included.
        seed: varies the mutations.
        source: the commit that made the good change.
    """
    beside = [
        KnownChange(name=one.path, files=(FileChange(path=one.path, before=one.text, after=one.text),))
        for one in others
    ]
    cases = [KnownCase(name=subject, subject=subject, kind=GOOD, change=good, source=source)]
    seen = {good.files}
    kinds = list(MutationKind)
    first = (seed * TURN) % len(kinds)
    for way in range(SEEDS):
        for kind in [*kinds[first:], *kinds[:first]] if way == 0 else kinds[CHEAP_FIRST:]:
            if len(cases) >= share:
                return tuple(cases)
            bad = mutate(kind, good, beside, seed + way)
            if bad is not None and bad.files not in seen:
                seen.add(bad.files)
                cases.append(
                    KnownCase(name=bad.name, subject=subject, kind=str(kind), change=bad, source=source)
                )
    return tuple(cases)
