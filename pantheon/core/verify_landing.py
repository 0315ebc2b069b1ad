"""What a night's records say of decisions and merges: nothing was allowed or landed without what that demands."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from pydantic import ValidationError

from pantheon.core.attestations import Demanded, SignedVerdict, Whose, against_signatures
from pantheon.core.delegation import PLACE
from pantheon.core.errors import VerificationError
from pantheon.core.gate import Change
from pantheon.core.merge_queue import Merge
from pantheon.core.statement import Statement
from pantheon.core.verify import read_text


def change_of(statement: Statement) -> tuple[str, str, str]:
    """Return commit, tree and digest of the diff that a statement is about."""
    named = {one.name: one.digest for one in statement.subject}
    commit, diff = named.get("change", {}), named.get("diff.patch", {})
    return commit.get("gitCommit", ""), commit.get("gitTree", ""), diff.get("sha256", "")


def against_decision(
    statement: Statement,
    *,
    night: str,
    verdicts: Sequence[SignedVerdict],
    passed: AbstractSet[str],
    evidence: AbstractSet[str],
) -> tuple[str, ...]:
    """Return what a decision that allows a change lacks.

    Args:
        statement: the decision.
        night: the night's id.
        verdicts: everything that was signed about its commit before it.
        passed: names of the checks that the same commit and diff have passed before it.
        evidence: digests of the lines that a decision may name.
    """
    commit, tree, diff = change_of(statement)
    said = statement.predicate
    reasons: list[str] = []
    try:
        demanded = Demanded.model_validate(said.get("demanded"))
    except ValidationError:
        return ("it does not say what it demanded",)
    given = {one.review.reviewer for one in verdicts}
    if len(given) < 2:
        reasons.append(f"{len(given)} of two reviewers have given a verdict")
    if verdicts:
        change = Change(base=verdicts[0].review.base, head=commit, tree=tree)
        reviewers = sorted({*given, *demanded.reviewers})
        reasons += against_signatures(change, night=night, diff=diff, reviewers=reviewers, verdicts=verdicts)
    reasons += [f"the check {name} has not passed it" for name in demanded.checks if name not in passed]
    named = said.get("inputAttestations")
    used = [_input_digest(one) for one in named] if isinstance(named, list) else []
    if not used or any(one not in evidence for one in used):
        reasons.append("it names evidence that is not in the ledger before it")
    return tuple(reasons)


def read_merge(statement: Statement) -> Merge:
    """Read what the gatekeeper attested of a merge.

    Raises:
        VerificationError: it is malformed, or its subjects are not what it lands.
    """
    extra = {*Whose.model_fields, PLACE}
    try:
        merge = Merge.model_validate({k: v for k, v in statement.predicate.items() if k not in extra})
    except ValidationError as error:
        raise VerificationError(f"the merge is malformed: {error.errors()[0]['msg']}") from error
    if change_of(statement)[:2] != (merge.commit, merge.merged):
        raise VerificationError("the merge's subjects are not the commit that it lands")
    return merge


def against_merge(merge: Merge, allowed: Mapping[str, tuple[str, frozenset[str]]]) -> tuple[str, ...]:
    """Return why a merge should not have been made.

    Args:
        merge: as attested.
        allowed: commit that was allowed before it -> its tree, and the checks that it had passed.
    """
    tree, passed = allowed.get(merge.head, ("", frozenset()))
    if tree != merge.tree or not tree:
        return ("no decision before it has allowed the change that it lands",)
    if merge.merged == merge.tree:
        return ()
    if merge.parent == merge.base:
        return ("the branch had not moved, and another tree lands than the one that was allowed",)
    reasons = []
    if not merge.checks:
        reasons.append("another tree lands than the one that was allowed, and no checks have passed it")
    if "tests" in passed and not merge.tests:
        reasons.append("another tree lands than the one that was tested, and no tests have passed it")
    return tuple(reasons)


def _input_digest(value: object) -> str:
    digest = value.get("digest") if isinstance(value, Mapping) else None
    return read_text(digest.get("sha256")) if isinstance(digest, Mapping) else ""
