"""Compares a verified ledger with what was remembered elsewhere: a witness, and the branch of a repository."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from pantheon.core.checkpoint import note_text, parse_checkpoint
from pantheon.core.errors import VerificationError
from pantheon.core.verify import Flaw, read_text
from pantheon.core.verify_ledger import LedgerAudit


class LandedCommit(NamedTuple):
    """A commit of a night's branch, with what its trailers name."""

    id: str
    night: str
    checkpoint: str


def check_witness(audit: LedgerAudit, notes: Sequence[bytes]) -> None:
    """Compare a ledger with the signed checkpoints that a witness remembers of it."""
    own = []
    for note in notes:
        with suppress(VerificationError):
            if parse_checkpoint(note_text(note)).origin == audit.origin:
                own.append(note)
    for note in own:
        audit.check_note(note, "witness", Flaw.ROLLED_BACK)
    if not own:
        audit.claims.notes.append("the witness remembers nothing of this night")


def check_landed(audit: LedgerAudit, landed: Callable[[str, str], Sequence[LandedCommit] | None]) -> None:
    """Compare what a night landed with the commits that its branch has.

    Args:
        audit: the ledger, read to its end.
        landed: returns the commits of a branch since a base; None where there is no such branch.
    """
    closing = audit.claims.closing
    said: Mapping[str, object] = {} if closing is None else closing.predicate
    branch, base, head = (read_text(said.get(name)) for name in ("branch", "base", "head"))
    if not branch:
        audit.claims.notes.append(
            "an open night does not say where its branch ends; its commits were not compared"
        )
        return
    commits = landed(branch, base)
    if commits is None:
        if head:
            audit.claims.notes.append(f"the repository has no branch {branch} any more")
        return
    if (commits[-1][0] if commits else "") != head:
        audit.faults.add(Flaw.WRONG_COMMIT, branch, f"it does not end with {head or 'its base'}")
    for commit, night, point in commits:
        if commit not in audit.claims.commits or night != audit.night:
            audit.faults.add(Flaw.WRONG_COMMIT, commit, "no attempt of this night attests it")
        size, _, root = point.partition(" ")
        if not size.isdecimal() or len(size) > 15 or int(size) > audit.tree.size:
            audit.faults.add(
                Flaw.ROLLED_BACK, commit, f"it names a checkpoint of {size[:20] or 'no'} records"
            )
        elif audit.tree.root(int(size)).hex() != root:
            audit.faults.add(Flaw.ALTERED, commit, f"it names another root of the first {size} records")
