"""What a night's signer signs and what it refuses, whoever asks: the rules of one delegation.

Invariants:
- a key signs only what its role may say: a reviewer's key verdicts in its own name, the night's key everything else
  of the night, and neither of them a delegation or a batch;
- a place in the ledger is signed for once;
- a reviewer gives one verdict on one change;
- a checkpoint is signed only for the night's own log, and only when it continues the last one that was signed.
"""

from collections.abc import Sequence
from datetime import datetime

from pantheon.core.attestations import parse_review
from pantheon.core.canonical import digest_bytes
from pantheon.core.checkpoint import parse_checkpoint
from pantheon.core.delegation import NIGHT_ROLE, REVIEWER_ROLES, Delegation, read_place
from pantheon.core.errors import SignatureError
from pantheon.core.merkle import EMPTY_ROOT, check_consistency
from pantheon.core.statement import (
    BATCH_PREDICATE,
    DELEGATION_PREDICATE,
    REVIEW_PREDICATE,
    Statement,
    parse_statement,
)

NOT_THE_NIGHTS = frozenset({BATCH_PREDICATE, DELEGATION_PREDICATE, REVIEW_PREDICATE})
"""What the night's key never signs."""


class SigningRules:
    """The rules of one delegation, and what was signed under it so far.

    Args:
        delegation: what the user's key has signed.
        next_seq: the first place that is free.
    """

    def __init__(self, delegation: Delegation, next_seq: int) -> None:
        self.delegation = delegation
        self._next_seq = next_seq
        self._last = ("", "")
        """Role and digest of the statement that was signed last."""
        self._verdicts: dict[tuple[str, str, str], str] = {}
        """(Role, base, head) -> the verdict."""
        before = delegation.previous
        own = before is not None and before.origin == delegation.origin and before.size < next_seq
        self._checkpoint = before if own else None

    def admit_statement(self, role: str, data: bytes, now: datetime) -> None:
        """Note that a statement is about to be signed.

        Args:
            role: whose key is wanted.
            data: the statement.
            now: the signer's own time.

        Raises:
            SignatureError: it must not be signed; nothing was noted.
        """
        self._check_time(now)
        if role not in self.delegation.keys:
            raise SignatureError(f"there is no key for the role {role[:80]!r}")
        statement = parse_statement(data)
        place, digest = read_place(statement), digest_bytes(data)
        if place.night != self.delegation.night:
            raise SignatureError(f"the statement is of night {place.night!r}, the keys are of another")
        if (role, digest) == self._last:
            return
        if place.seq < self._next_seq:
            raise SignatureError(f"place {place.seq} of the ledger is signed for already")
        self._check_role(role, statement)
        self._next_seq, self._last = place.seq + 1, (role, digest)

    def admit_checkpoint(self, text: str, proof: Sequence[bytes], now: datetime) -> None:
        """Note that a checkpoint is about to be signed.

        Args:
            text: its three lines.
            proof: that it continues the checkpoint that was signed last; empty for the first.
            now: the signer's own time.

        Raises:
            SignatureError: it must not be signed; nothing was noted.
        """
        self._check_time(now)
        point = parse_checkpoint(text)
        if point.origin != self.delegation.origin:
            raise SignatureError("the checkpoint is of another log than the night's")
        last = self._checkpoint
        old, root = (0, EMPTY_ROOT) if last is None else (last.size, bytes.fromhex(last.root))
        check_consistency(old, root, point.size, bytes.fromhex(point.root), proof)
        self._checkpoint = point

    def _check_time(self, now: datetime) -> None:
        if not self.delegation.covers(now):
            raise SignatureError(
                f"the night's keys count from {self.delegation.not_before} to {self.delegation.not_after}",
                hint="pantheon night goes on with new keys.",
            )

    def _check_role(self, role: str, statement: Statement) -> None:
        kind = statement.predicate_type
        if role == NIGHT_ROLE:
            if kind in NOT_THE_NIGHTS:
                raise SignatureError(f"the night's key does not sign {kind}")
            return
        reviewer, verdict = statement.predicate.get("reviewer"), statement.predicate.get("verdict")
        if kind != REVIEW_PREDICATE or role != f"{REVIEWER_ROLES}{reviewer}":
            raise SignatureError(f"the key of {role} signs its own verdicts only")
        if verdict not in ("pass", "fail"):
            raise SignatureError("a verdict is pass or fail")
        review = parse_review(statement)
        # Neither the order of the subjects nor a diff or a tree that the night names makes it another change.
        if self._verdicts.setdefault((role, review.base, review.head), verdict) != verdict:
            raise SignatureError(f"{reviewer} has given another verdict on this change already")
