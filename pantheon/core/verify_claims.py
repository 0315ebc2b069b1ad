"""What a night's records say, believed once their signatures were verified, and whether it fits together.

Invariant: nothing is allowed on the word of a record alone: a decision needs the verdicts, checks and keys before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pantheon.core.attestations import SignedVerdict, parse_review
from pantheon.core.delegation import Delegation, read_delegation, reviewer_role
from pantheon.core.errors import VerificationError
from pantheon.core.merkle import MerkleTree
from pantheon.core.statement import (
    ATTEMPT_PREDICATE,
    CANARY_PREDICATE,
    CONTAINMENT_PREDICATE,
    DECISION_PREDICATE,
    DELEGATION_PREDICATE,
    MERGE_PREDICATE,
    NIGHT_PREDICATE,
    RECOVERY_PREDICATE,
    REVIEW_PREDICATE,
    TEST_RESULT_PREDICATE,
    Statement,
)
from pantheon.core.verify import Faults, Flaw, read_text
from pantheon.core.verify_canaries import CanaryWatch
from pantheon.core.verify_contained import ContainmentWatch
from pantheon.core.verify_landing import against_decision, against_merge, change_of, read_merge


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
        self._canaries = CanaryWatch(faults)
        self._tree = tree
        self._faults = faults
        self._verdicts: dict[str, list[SignedVerdict]] = {}
        self._passed: dict[tuple[str, str], set[str]] = {}
        """Commit and digest of its diff -> names of the checks that it has passed."""
        self._allowed: dict[str, tuple[str, frozenset[str]]] = {}
        """Commit that a decision allowed -> its tree, and the checks that it had passed."""
        self.landing: dict[str, str] = {}
        """Commit that was to land on the night's branch -> its tree."""
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
            CANARY_PREDICATE: self._read_canary,
            MERGE_PREDICATE: self._read_merge,
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
        said = record.statement.predicate
        if said.get("result") == "PASSED" and isinstance(names := said.get("passedTests"), list):
            commit, _, diff = change_of(record.statement)
            self._passed.setdefault((commit, diff), set()).update(map(read_text, names))

    def _read_decision(self, record: Record) -> None:
        said = record.statement.predicate
        if said.get("verificationResult") != "PASSED":
            return
        commit, tree, diff = change_of(record.statement)
        passed = self._passed.get((commit, diff), set())
        reasons = against_decision(
            record.statement,
            night=self.night,
            verdicts=self._verdicts.get(commit, []),
            passed=passed,
            evidence=self._evidence,
        )
        if reasons:
            self._faults.add(Flaw.UNSUPPORTED_DECISION, record.where, "; ".join(reasons))
        else:
            self._allowed[commit] = (tree, frozenset(passed))

    def _read_merge(self, record: Record) -> None:
        merge = read_merge(record.statement)
        self.landing[merge.commit] = merge.merged
        if reasons := against_merge(merge, self._allowed):
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

    def _read_canary(self, record: Record) -> None:
        self._canaries.read(record.where, record.statement)

    def _read_night(self, record: Record) -> None:
        self.closing = record.statement
        before = record.statement.predicate.get("checkpoint")
        size = self._tree.size - 1
        if before != {"size": size, "root": self._tree.root(size).hex()}:
            self._faults.add(Flaw.ALTERED, record.where, "the night was closed over other records")


def attempt_folder(task: str, node: str, attempt: int) -> str:
    """Return the folder of an attempt, relative to the night's."""
    return f"{task.replace('/', '-')}/{node}/{attempt:03}"
