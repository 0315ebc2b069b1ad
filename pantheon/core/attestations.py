"""What a night attests besides its attempts: checks, verdicts, decisions, its end. Built here, read back strictly.

Each builder returns subjects and predicate; ``NightLedger.enter`` adds the place and has it signed.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from pantheon.core.canonical import digest_bytes
from pantheon.core.checkpoint import Checkpoint
from pantheon.core.delegation import Delegation, Place, keys_at, read_place, reviewer_role
from pantheon.core.dsse import Envelope, open_envelope, parse_envelope, peek_payload
from pantheon.core.errors import SignatureError, VerificationError
from pantheon.core.gate import Change, CheckReport, Decision
from pantheon.core.merge_queue import Merge
from pantheon.core.model import Frozen
from pantheon.core.records import NightRecord
from pantheon.core.review import Review
from pantheon.core.statement import REVIEW_PREDICATE, Digests, Statement, parse_statement

DIFF, CHANGE = "diff.patch", "change"
VERIFIER = "https://pantheon.local/gate"
MAX_MARGIN = 10**9
_SHA256 = r"^[0-9a-f]{64}$"

Claim = tuple[dict[str, str | Digests], dict[str, Any]]
"""Subjects and predicate."""


class Whose(Frozen):
    """The attempt that attests something."""

    night: str
    task: str
    node: str
    attempt: int


class ReviewPredicate(Frozen):
    """A verdict, bound to the change it was given for."""

    night: str
    task: str
    node: str
    attempt: int
    reviewer: str
    version: str
    verdict: Literal["pass", "fail"]
    margin_millinats: int | None = Field(alias="marginMillinats")
    """The smallest margin of the comparisons that were asked; None when none was."""
    reasons: tuple[str, ...]
    base: str = Field(min_length=1)
    head: str = Field(min_length=1)
    tree: str = Field(min_length=1)
    diff: str = Field(pattern=_SHA256)
    """SHA-256 of the diff between base and head."""
    ledger: Place


def change_subjects(head: str, tree: str, diff: str) -> dict[str, str | Digests]:
    """Return a change as subjects: its diff, and the commit with its tree."""
    return {DIFF: diff, CHANGE: {"gitCommit": head, "gitTree": tree}}


def review_claim(review: Review, diff: str, whose: Whose) -> Claim:
    """Return what a reviewer attests.

    Args:
        review: the verdict.
        diff: SHA-256 of the diff that was reviewed.
        whose: the attempt.
    """
    margin = review.margin
    return change_subjects(review.head, review.tree, diff), {
        **whose.model_dump(),
        "reviewer": review.reviewer,
        "version": review.version,
        "verdict": review.verdict,
        "marginMillinats": None
        if margin is None
        else max(-MAX_MARGIN, min(MAX_MARGIN, round(margin * 1_000))),
        "reasons": list(review.reasons),
        "base": review.base,
        "head": review.head,
        "tree": review.tree,
        "diff": diff,
    }


def check_claim(report: CheckReport, diff: str, whose: Whose) -> Claim:
    """Return what the deterministic checks attest, as an in-toto test result.

    Args:
        report: all checks.
        diff: SHA-256 of the diff that was checked.
        whose: the attempt.
    """
    return change_subjects(report.head, report.tree, diff), {
        "result": "FAILED" if report.failures or not report.checks else "PASSED",
        "configuration": [{"name": "flow checks", "digest": {"gitCommit": report.base}}],
        "passedTests": sorted(one.name for one in report.checks if one.passed),
        "failedTests": sorted(one.name for one in report.checks if not one.passed),
        **whose.model_dump(),
    }


class Demanded(Frozen):
    """What a decision may not allow a change without."""

    checks: tuple[str, ...] = Field(min_length=1)
    """Names of the checks, ``tests`` among them where the flow runs them."""
    reviewers: tuple[str, ...] = Field(min_length=2)


def decision_claim(
    decision: Decision,
    diff: str,
    used: Sequence[str],
    policy: str,
    at: datetime,
    whose: Whose,
    demanded: Demanded,
) -> Claim:
    """Return what the gate attests, as a SLSA verification summary.

    Args:
        decision: the gate's answer.
        diff: SHA-256 of the diff that was decided on.
        used: SHA-256 of each line of the ledger that was weighed.
        policy: SHA-256 of the gate's policy; empty when there is no file.
        at: when it was decided.
        whose: the attempt.
        demanded: what had to be there.
    """
    change = decision.change
    return change_subjects(change.head, change.tree, diff), {
        "verifier": {"id": VERIFIER},
        "timeVerified": at.isoformat(),
        "resourceUri": f"pantheon:{whose.night}/{whose.task}",
        "policy": {
            "uri": "policies/gate.toml",
            "digest": {"sha256": policy or digest_bytes(b"")},
        },
        "inputAttestations": [{"digest": {"sha256": one}} for one in used],
        "verificationResult": "PASSED" if decision.decision == "allow" else "FAILED",
        "verifiedLevels": [],
        "slsaVersion": "1.0",
        "reasons": list(decision.reasons),
        "demanded": demanded.model_dump(mode="json"),
        **whose.model_dump(),
    }


def merge_claim(merge: Merge, diff: str, whose: Whose) -> Claim:
    """Return what the gatekeeper attests before it moves the branch over a commit.

    Args:
        merge: the commit, the change that it lands, and what was passed again.
        diff: SHA-256 of the diff between the commit and its parent.
        whose: the attempt.
    """
    return change_subjects(merge.commit, merge.merged, diff), {
        **merge.model_dump(mode="json"),
        **whose.model_dump(),
    }


def night_claim(
    record: NightRecord,
    outcomes: Mapping[str, int],
    head: str | None,
    last: Checkpoint,
    left_by: Mapping[str, int],
) -> Claim:
    """Return what the night attests when it is closed.

    Args:
        record: the night.
        outcomes: outcome -> number of tasks.
        head: where its branch is; None when it has none.
        last: the checkpoint over everything before this.
        left_by: closed night -> number of this night's tasks that it had not reached.
    """
    return {record.branch: {"gitCommit": head or record.base_commit}}, {
        "night": record.id,
        "branch": record.branch,
        "base": record.base_commit,
        "head": head or "",
        "outcomes": dict(outcomes),
        "leftBy": dict(left_by),
        "checkpoint": {"size": last.size, "root": last.root},
    }


class SignedVerdict(Frozen):
    """A verdict whose signature was verified."""

    review: ReviewPredicate
    key: str
    """The raw public key that signed it, in hexadecimal."""


def read_verdict(line: bytes, delegations: Sequence[Delegation]) -> SignedVerdict:
    """Read a reviewer's envelope and verify that the reviewer's own key signed it in its time.

    Raises:
        SignatureError: it did not.
        VerificationError: it is no verdict, or says more than a verdict may.
    """
    envelope = parse_envelope(line)
    statement = parse_statement(peek_payload(envelope))
    review = parse_review(statement)
    keys = keys_at(delegations, reviewer_role(review.reviewer), review.ledger.moment)
    return SignedVerdict(review=review, key=signing_key(envelope, keys).hex())


def parse_review(statement: Statement) -> ReviewPredicate:
    """Read a verdict, unverified. Raises ``VerificationError`` when it is none, or not about what it says."""
    if statement.predicate_type != REVIEW_PREDICATE:
        raise VerificationError("not a reviewer's verdict")
    try:
        review = ReviewPredicate.model_validate(statement.predicate)
    except ValidationError as error:
        raise VerificationError(f"the verdict is malformed: {error.errors()[0]['msg']}") from error
    named = {one.name: dict(one.digest) for one in statement.subject}
    meant = {DIFF: {"sha256": review.diff}, CHANGE: {"gitCommit": review.head, "gitTree": review.tree}}
    if named != meant or len(statement.subject) != len(meant):
        raise VerificationError("the verdict's subjects are not the change that it names")
    if read_place(statement).night != review.night:
        raise VerificationError("the verdict is of another night than its place")
    return review


def signing_key(envelope: Envelope, keys: Sequence[bytes]) -> bytes:
    """Return the one of the keys that signed an envelope with a single signature.

    Raises:
        SignatureError: none did, or there are further signatures.
    """
    if len(envelope.signatures) != 1:
        raise SignatureError("a record of the ledger has exactly one signature")
    for key in keys:
        try:
            open_envelope(envelope, [key])
        except VerificationError:
            raise
        except SignatureError:
            continue
        return key
    raise SignatureError("no key that was delegated for this signed it")


def against_signatures(
    change: Change,
    *,
    night: str,
    diff: str,
    reviewers: Sequence[str],
    verdicts: Sequence[SignedVerdict],
) -> tuple[str, ...]:
    """Return what signed verdicts leave to be said against a change; more verdicts never leave less.

    Two reviewers count as two only when distinct public keys signed for them.

    Args:
        change: what is to be decided on.
        night: the night's id.
        diff: SHA-256 of the change's diff.
        reviewers: those who must have passed it.
        verdicts: everything that was signed about the change's commit.
    """
    reasons: list[str] = []
    keys: dict[str, set[str]] = {}
    for name in sorted(set(reviewers)):
        own = [one for one in verdicts if one.review.reviewer == name]
        keys[name] = {one.key for one in own}
        if not own:
            reasons.append(f"{name}: no signed verdict")
        for one in own:
            said = one.review
            if (said.base, said.head, said.tree, said.diff) != (change.base, change.head, change.tree, diff):
                reasons.append(f"{name}: the signed verdict is for another change")
            elif said.night != night:
                reasons.append(f"{name}: the signed verdict is of another night")
            elif said.verdict != "pass" or said.reasons or said.margin_millinats is None:
                reasons.append(f"{name}: the signed verdict is against it")
            elif said.margin_millinats < 0:
                reasons.append(f"{name}: the signed verdict contradicts itself")
    held = [key for own in keys.values() for key in own]
    if len(set(held)) != len(held):
        reasons.append("two reviewers signed with one key")
    return tuple(dict.fromkeys(reasons))
