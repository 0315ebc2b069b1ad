"""What is in a night's ledger, as far as the night itself must know: the tree, the delegations, the verdicts.

Invariant: a line is taken only at the end, and only when its statement says that this is its place.
"""

from collections.abc import Sequence

from pantheon.core.delegation import Delegation, Place, read_delegation, read_place
from pantheon.core.dsse import Envelope, open_envelope, parse_envelope, peek_payload
from pantheon.core.errors import SignatureError, VerificationError
from pantheon.core.merkle import MerkleTree
from pantheon.core.statement import (
    CANARY_PREDICATE,
    DELEGATION_PREDICATE,
    NIGHT_PREDICATE,
    REVIEW_PREDICATE,
    TEST_RESULT_PREDICATE,
    Statement,
    parse_statement,
)

EVIDENCE = (REVIEW_PREDICATE, TEST_RESULT_PREDICATE)
"""What the gate weighs."""


class LedgerIndex:
    """One night's ledger, read or growing.

    Args:
        night: the night's id.
        user_key: the public key that delegations are signed with.
    """

    def __init__(self, night: str, user_key: bytes) -> None:
        self.tree = MerkleTree()
        self._night = night
        self._user_key = user_key
        self._delegations: list[Delegation] = []
        self._evidence: dict[str, list[tuple[str, bytes]]] = {}
        self._canaries: list[bytes] = []
        self.closed = False
        """Whether the last record closes the night."""

    @property
    def size(self) -> int:
        """Number of records."""
        return self.tree.size

    @property
    def delegations(self) -> Sequence[Delegation]:
        """All delegations, the oldest first."""
        return self._delegations

    def evidence_of(self, commit: str) -> Sequence[tuple[str, bytes]]:
        """Return (URI of the predicate, line) of all verdicts and checks on a commit, unverified, the oldest first."""
        return self._evidence.get(commit, ())

    @property
    def canaries(self) -> Sequence[bytes]:
        """The lines of all canaries, unverified, the oldest first."""
        return self._canaries

    def take(self, line: bytes) -> bool:
        """Take a line that was found in the file; False when it is no whole record.

        Raises:
            SignatureError: it is one that does not belong there, which no crash leaves.
        """
        try:
            envelope = parse_envelope(line)
            payload = peek_payload(envelope)
            statement = parse_statement(payload)
            place = read_place(statement)
        except VerificationError:
            return False
        self._check_place(place)
        self._note(line, statement, envelope)
        self.tree.append(line)
        return True

    def add(self, line: bytes, kind: str, payload: bytes) -> None:
        """Add a line that was just written.

        Args:
            line: the envelope.
            kind: URI of the statement's predicate.
            payload: the statement.
        """
        if kind in (DELEGATION_PREDICATE, CANARY_PREDICATE, *EVIDENCE):
            self._note(line, parse_statement(payload), parse_envelope(line))
        self.closed = kind == NIGHT_PREDICATE
        self.tree.append(line)

    def _check_place(self, place: Place) -> None:
        if (place.night, place.seq) != (self._night, self.size):
            raise SignatureError(
                f"record {self.size} of the ledger says that it is record {place.seq} of night {place.night!r}"
            )

    def _note(self, line: bytes, statement: Statement, envelope: Envelope) -> None:
        kind = statement.predicate_type
        if kind == DELEGATION_PREDICATE:
            open_envelope(envelope, [self._user_key])
            self._delegations.append(read_delegation(statement))
        elif kind == CANARY_PREDICATE:
            self._canaries.append(line)
        elif kind in EVIDENCE:
            for subject in statement.subject:
                if commit := subject.digest.get("gitCommit"):
                    self._evidence.setdefault(commit, []).append((kind, line))
        self.closed = kind == NIGHT_PREDICATE
