"""Makes canaries: spoils a real change in a way that every reviewer's questions are about.

Only what is wrong for certain is taken: metadata whose words hardly occur in the target. In all other respects it
passes the checks of a proposal, so that nothing but the fault gives it away.
"""

from collections.abc import Collection, Sequence
from itertools import islice

from pantheon.core.canonical import digest_bytes
from pantheon.core.decoys import MAX_GROUNDED, Metadata, content_words, grounded_share
from pantheon.core.errors import ToolError
from pantheon.core.model import Frozen
from pantheon.core.mutation_words import pick
from pantheon.core.mutations import LIKE, FileChange, KnownChange, MutationKind, mutate, rank_alike
from pantheon.core.notes.frontmatter import set_fields
from pantheon.core.notes.textcheck import check_metadata
from pantheon.core.notes.unheard import first_part

KIND = MutationKind.SWAPPED_METADATA
"""How canaries are spoilt: in the way that both reviewers are measured with when they are calibrated."""
TRIES = 12
FOREIGN = ("-grounded", "-name")
"""How the names of the checks end that tell whether a proposal's words are in the note."""


class Canary(Frozen):
    """A known-bad change, as the reviewers are shown it."""

    kind: MutationKind
    proposal: Metadata
    content: str
    """SHA-256 of what it would make of its target."""


def make_canary(
    path: str,
    target: str,
    proposal: Metadata,
    others: Sequence[Metadata],
    *,
    seed: int,
    used: Collection[str] = (),
) -> Canary | None:
    """Return a canary made from a change under review; None where none can be made.

    Args:
        path: path of the note.
        target: whole text of the note before the change.
        proposal: what the change catalogues it under.
        others: metadata of other notes; what could fit the target is left out.
        seed: chooses.
        used: contents of canaries that were made before.
    """
    try:
        return _make(path, target, proposal, others, seed, used)
    except ToolError:
        # Front matter whose layout allows no edit: nothing can be made of this note.
        return None


def _make(
    path: str,
    target: str,
    proposal: Metadata,
    others: Sequence[Metadata],
    seed: int,
    used: Collection[str],
) -> Canary | None:
    words = content_words(target)
    known = dict.fromkeys(map(_in_one_part, others))
    wrong = [one for one in known if _is_wrong(one, words) and one.title != proposal.title]
    change = _known(path, target, proposal)
    own = change.metadata
    ranked = [] if own is None else rank_alike(own, wrong)
    # Another note's metadata serves once for a target. What is never chosen is never made a note of.
    fresh = (one for one in ranked if not used or _content(_known(path, target, one)) not in used)
    alike = list(islice(fresh, LIKE))
    for again in range(TRIES if alike else 0):
        other = _known(f"1/{path}", "", pick(alike, seed + again, "other"))
        bad = mutate(KIND, change, [other], seed + again)
        if bad is None or bad.metadata is None:
            continue
        content = _content(bad)
        if content not in used and _reads_well(bad.metadata, target):
            return Canary(kind=KIND, proposal=bad.metadata, content=content)
    return None


def _in_one_part(metadata: Metadata) -> Metadata:
    """Return metadata whose texts have one part: of several, a reviewer would refuse those unasked that are wrong."""
    title, description = first_part(metadata.title).rstrip("."), first_part(metadata.description)
    return metadata.model_copy(update={"title": title, "description": description})


def _is_wrong(metadata: Metadata, words: frozenset[str]) -> bool:
    return all(grounded_share(text, words) <= MAX_GROUNDED for text in (metadata.title, metadata.description))


def _known(path: str, before: str, metadata: Metadata) -> KnownChange:
    fields: dict[str, str | list[str]] = {
        "title": metadata.title,
        "description": metadata.description,
        "tags": list(metadata.tags),
    }
    after = set_fields(before.encode(), fields).decode()
    return KnownChange(name=path, files=(FileChange(path=path, before=before, after=after),))


def _content(change: KnownChange) -> str:
    return digest_bytes((change.target.after or "").encode())


def _reads_well(metadata: Metadata, note: str) -> bool:
    """Tell whether nothing is wrong with metadata but that it belongs to another note."""
    return all(problem.check.endswith(FOREIGN) for problem in check_metadata(metadata, note))
