"""What a night's records say, believed once their signatures were verified, and whether it fits together.

Invariant: nothing is allowed on the word of a record alone: a decision needs the verdicts, checks and keys before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pantheon.core.attestations import SignedVerdict, against_signatures, parse_review
from pantheon.core.delegation import Delegation, read_delegation, reviewer_role
from pantheon.core.errors import VerificationError
from pantheon.core.gate import Change
from pantheon.core.merkle import MerkleTree
from pantheon.core.statement import (
    ATTEMPT_PREDICATE,
    CONTAINMENT_PREDICATE,
    DECISION_PREDICATE,
    DELEGATION_PREDICATE,
    NIGHT_PREDICATE,
    RECOVERY_PREDICATE,
    REVIEW_PREDICATE,
    TEST_RESULT_PREDICATE,
    Statement,
)
from pantheon.core.verify import Faults, Flaw, read_text
from pantheon.core.verify_contained import ContainmentWatch


@dataclass(frozen=True, slots=True)
class Record:
    """A record whose signature was verified."""

    number: int
    digest: str
    """SHA-256 of its line."""
    statement: Statement

    @property
    def where(self) -> str:
        """Its place, in words."""
        return f"record {self.number}"


@dataclass(frozen=True, slots=True)
class AttestedAttempt:
    """What an attempt attested."""

    record: int
    digest: str
    """SHA-256 of the record's line."""
    files: Mapping[str, str]
    """Name -> SHA-256."""


class NightClaims:
    """Everything that the records of one ledger say.

    Args:
        tree: over the records, the one that is read included.
        faults: where defects are noted.
    """

    def __init__(self, tree: MerkleTree, faults: Faults) -> None:
        self.delegations: list[Delegation] = []
        self.attempts: dict[str, AttestedAttempt] = {}
        """Folder, relative to the night's -> what was attested."""
        self.interrupted: set[str] = set()
        """Folders of attempts that a dead process left, as the night attested."""
        self.commits: set[str] = set()
        """Output commits of attempts."""
        self.closing: Statement | None = None
        """What the night attested at its end, when that is the last thing it attested."""
        self.notes: list[str] = []
        self.contained = ContainmentWatch(faults)
        self._tree = tree
        self._faults = faults
        self._verdicts: dict[str, list[SignedVerdict]] = {}
        self._passed: dict[str, set[str]] = {}
        """Commit -> digests of the diffs that its checks passed."""
        self._evidence: set[str] = set()
        """Digests of the lines that a decision may name."""

    @property
    def night(self) -> str:
        """The night's id; empty before the first delegation."""
        return self.delegations[0].night if self.delegations else ""

    @property
    def origin(self) -> str:
        """The name of the night's log."""
        return self.delegations[0].origin if self.delegations else ""

    def read(self, record: Record) -> None:
        """Read the next record."""
        kind = record.statement.predicate_type
        if self.closing is not None and kind != DELEGATION_PREDICATE:
            self._faults.add(Flaw.EXTRA, record.where, "it stands behind the end of the night")
        self.closing = None
        self.contained.work(record.where, kind)
        if kind in (REVIEW_PREDICATE, TEST_RESULT_PREDICATE):
            self._evidence.add(record.digest)
        readers = {
            DELEGATION_PREDICATE: self._read_delegation,
            ATTEMPT_PREDICATE: self._read_attempt,
            REVIEW_PREDICATE: self._read_review,
            TEST_RESULT_PREDICATE: self._read_checks,
            DECISION_PREDICATE: self._read_decision,
            RECOVERY_PREDICATE: self._read_recovery,
            NIGHT_PREDICATE: self._read_night,
            CONTAINMENT_PREDICATE: self._read_containment,
        }
        if (reader := readers.get(kind)) is None:
            return
        try:
            reader(record)
        except VerificationError as error:
            self._faults.add(Flaw.MALFORMED, record.where, error.message)

    def _read_delegation(self, record: Record) -> None:
        delegation = read_delegation(record.statement)
        if self.delegations and (delegation.night, delegation.origin) != (self.night, self.origin):
            self._faults.add(Flaw.WRONG_NIGHT, record.where, f"it delegates night {delegation.night}")
            return
        before = delegation.previous
        if before is not None and before.origin == delegation.origin:
            inside = before.size < self._tree.size
            if not inside:
                told = f"{before.size} records of this night were there before it, and are gone"
                self._faults.add(Flaw.ROLLED_BACK, record.where, told)
            elif self._tree.root(before.size).hex() != before.root:
                self._faults.add(Flaw.ALTERED, record.where, f"it goes on from other {before.size} records")
        self.delegations.append(delegation)
        self.contained.begin()

    def _read_containment(self, record: Record) -> None:
        self.contained.read(record.where, self.night, record.statement)

    def _read_attempt(self, record: Record) -> None:
        said = record.statement.predicate
        task, node, number = said.get("task"), said.get("node"), said.get("attempt")
        if not isinstance(task, str) or not isinstance(node, str) or type(number) is not int:
            raise VerificationError("the attempt does not say which it is")
        if said.get("night") != self.night:
            self._faults.add(
                Flaw.WRONG_NIGHT, record.where, f"an attempt of night {read_text(said.get('night'))}"
            )
        folder = attempt_folder(task, node, number)
        if folder in self.attempts:
            self._faults.add(Flaw.DUPLICATE, record.where, f"{folder} is attested already")
            return
        files = {one.name: one.digest.get("sha256", "") for one in record.statement.subject}
        self.attempts[folder] = AttestedAttempt(record.number, record.digest, files)
        if commit := read_text(said.get("outputCommit")):
            self.commits.add(commit)

    def _read_review(self, record: Record) -> None:
        review = parse_review(record.statement)
        key = self.delegations[-1].key(reviewer_role(review.reviewer))
        earlier = self._verdicts.setdefault(review.head, [])
        for one in earlier:
            said = one.review
            same = (said.reviewer, said.diff, said.base) == (review.reviewer, review.diff, review.base)
            if same and said.verdict != review.verdict:
                self._faults.add(
                    Flaw.CONFLICTING_VERDICT,
                    record.where,
                    f"{review.reviewer} has said {said.verdict} and {review.verdict} of {review.head}",
                )
        earlier.append(SignedVerdict(review=review, key=(key or b"").hex()))

    def _read_checks(self, record: Record) -> None:
        if record.statement.predicate.get("result") == "PASSED":
            commit, _, diff = _change(record.statement)
            self._passed.setdefault(commit, set()).add(diff)

    def _read_decision(self, record: Record) -> None:
        said = record.statement.predicate
        if said.get("verificationResult") != "PASSED":
            return
        commit, tree, diff = _change(record.statement)
        verdicts = self._verdicts.get(commit, [])
        reviewers = sorted({one.review.reviewer for one in verdicts})
        reasons: list[str] = []
        if len(reviewers) < 2:
            reasons.append(f"{len(reviewers)} of two reviewers have given a verdict")
        if verdicts:
            change = Change(base=verdicts[0].review.base, head=commit, tree=tree)
            reasons += against_signatures(
                change, night=self.night, diff=diff, reviewers=reviewers, verdicts=verdicts
            )
        if diff not in self._passed.get(commit, ()):
            reasons.append("no checks have passed it")
        named = said.get("inputAttestations")
        used = [_input_digest(one) for one in named] if isinstance(named, list) else []
        if not used or any(one not in self._evidence for one in used):
            reasons.append("it names evidence that is not in the ledger before it")
        if reasons:
            self._faults.add(Flaw.UNSUPPORTED_DECISION, record.where, "; ".join(reasons))

    def _read_recovery(self, record: Record) -> None:
        said = record.statement.predicate
        if isinstance(cut := said.get("cutBytes"), int):
            self.notes.append(f"{record.where}: {cut} bytes that a crash had left were cut off")
        named = said.get("interrupted")
        for one in named if isinstance(named, list) else ():
            if isinstance(one, Mapping) and type(one.get("attempt")) is int:
                task, _, node = read_text(one.get("node")).rpartition("#")
                self.interrupted.add(attempt_folder(task, node, one["attempt"]))

    def _read_night(self, record: Record) -> None:
        self.closing = record.statement
        before = record.statement.predicate.get("checkpoint")
        size = self._tree.size - 1
        if before != {"size": size, "root": self._tree.root(size).hex()}:
            self._faults.add(Flaw.ALTERED, record.where, "the night was closed over other records")


def attempt_folder(task: str, node: str, attempt: int) -> str:
    """Return the folder of an attempt, relative to the night's."""
    return f"{task.replace('/', '-')}/{node}/{attempt:03}"


def _change(statement: Statement) -> tuple[str, str, str]:
    """Return commit, tree and digest of the diff that a statement is about."""
    named = {one.name: one.digest for one in statement.subject}
    commit, diff = named.get("change", {}), named.get("diff.patch", {})
    return commit.get("gitCommit", ""), commit.get("gitTree", ""), diff.get("sha256", "")


def _input_digest(value: object) -> str:
    digest = value.get("digest") if isinstance(value, Mapping) else None
    return read_text(digest.get("sha256")) if isinstance(digest, Mapping) else ""
