"""Compares a verified ledger with what was remembered elsewhere: a witness, and the branch of a repository."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from pantheon.core.checkpoint import note_text, parse_checkpoint
from pantheon.core.errors import VerificationError
from pantheon.core.undo import read_undo, why_no_undo
from pantheon.core.verify import Flaw, read_text
from pantheon.core.verify_ledger import LedgerAudit


class LandedCommit(NamedTuple):
    """A commit of a night's branch, with what its trailers name."""

    id: str
    night: str
    checkpoint: str
    parent: str = ""
    tree: str = ""
    undoes: str = ""
    """The commit that it says it takes back; empty where it says nothing of the kind."""
    undo: str = ""
    """The signed statement about that."""


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
        audit.claims.notes.append("an open night does not say where its branch ends")
        return
    commits = landed(branch, base)
    if commits is None:
        if head:
            audit.claims.notes.append(f"the repository has no branch {branch} any more")
        return
    undone = _check_undone(audit, commits)
    places = [place for place, one in enumerate(commits) if one.id == head]
    behind = commits[places[0] + 1 :] if places else commits
    if (head and not places) or any(one.id not in undone for one in behind):
        audit.faults.add(Flaw.WRONG_COMMIT, branch, f"it does not end with {head or 'its base'}")
    for one in commits:
        if not one.undoes and (problem := _against_landing(one, audit.claims.landing)):
            audit.faults.add(Flaw.WRONG_COMMIT, one.id, problem)
    for commit, night, point in (one[:3] for one in commits if not one.undoes):
        if commit not in audit.claims.commits or night != audit.night:
            audit.faults.add(Flaw.WRONG_COMMIT, commit, "no attempt of this night attests it")
        _check_point(audit, commit, point)


def check_named(audit: LedgerAudit, commits: Sequence[LandedCommit]) -> None:
    """Compare a night that is not closed with the commits that name it: each was attested before it was made.

    Args:
        audit: the ledger, read to its end, and after the commits were: a night that runs goes on landing.
        commits: of this night.
    """
    for one in commits:
        if one.undoes:
            continue
        if problem := _against_landing(one, audit.claims.landing):
            audit.faults.add(Flaw.WRONG_COMMIT, one.id, problem)
        _check_point(audit, one.id, one.checkpoint)


def _check_point(audit: LedgerAudit, commit: str, point: str) -> None:
    """Compare the checkpoint that a commit names with the ledger."""
    size, _, root = point.partition(" ")
    if not size.isdecimal() or len(size) > 15 or int(size) > audit.tree.size:
        audit.faults.add(Flaw.ROLLED_BACK, commit, f"it names a checkpoint of {size[:20] or 'no'} records")
    elif audit.tree.root(int(size)).hex() != root:
        audit.faults.add(Flaw.ALTERED, commit, f"it names another root of the first {size} records")


def _against_landing(one: LandedCommit, landing: Mapping[str, str]) -> str:
    """Return why a commit is not what the gatekeeper attested that it would land; empty when it is."""
    if one.id not in landing:
        return "no merge in the ledger lands it"
    if one.tree != landing[one.id]:
        return f"its tree is {one.tree[:40] or 'unknown'}, the one that was attested to land is {landing[one.id][:40]}"
    return ""


def _check_undone(audit: LedgerAudit, commits: Sequence[LandedCommit]) -> set[str]:
    """Return the commits that take back another with the user's word for it, and tell of those."""
    good: set[str] = set()
    for place, one in enumerate(commits):
        if not one.undoes:
            continue
        why = why_no_undo(
            one.undo,
            audit.user_key,
            night=audit.night,
            undone=one.undoes,
            parent=one.parent,
            tree=one.tree,
        )
        if not why and one.undoes not in {before.id for before in commits[:place]}:
            why = "it takes back a commit that is not on this branch before it"
        if why:
            audit.faults.add(Flaw.WRONG_COMMIT, one.id, why)
        else:
            good.add(one.id)
            said = read_undo(one.undo, audit.user_key)
            audit.claims.notes.append(f"{said.task} was taken back by {one.id}, by {said.by}: {said.reason}")
    return good
