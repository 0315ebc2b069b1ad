"""Verifies a night's ledger record by record, with nothing but the user's public key.

Invariants:
- what is believed of a record is believed after its signature was verified, by the keys that were delegated last;
- a record is looked at whatever is wrong before it; who reads the file gives up behind 50,000 defects that go untold;
- memory is bounded by what the night attested, not by what somebody wrote into its file.
"""

from pantheon.core.attestations import signing_key
from pantheon.core.canonical import digest_bytes
from pantheon.core.checkpoint import Checkpoint, note_text, open_note, parse_checkpoint
from pantheon.core.delegation import NIGHT_ROLE, Delegation, Place, read_place, reviewer_role
from pantheon.core.dsse import Envelope, key_id, parse_envelope, peek_payload
from pantheon.core.errors import SignatureError, VerificationError
from pantheon.core.merkle import MerkleTree
from pantheon.core.statement import DELEGATION_PREDICATE, REVIEW_PREDICATE, Statement, parse_statement
from pantheon.core.verify import Defect, Faults, Flaw, read_text
from pantheon.core.verify_claims import NightClaims, Record

MAX_GAP = 1_000_000


class LedgerAudit:
    """One ledger under verification.

    Args:
        user_key: the public key that everything stands on.
    """

    def __init__(self, user_key: bytes) -> None:
        self.faults = Faults()
        self.tree = MerkleTree()
        self.claims = NightClaims(self.tree, self.faults)
        self._user_key = user_key
        self._other_key = ""
        """Id of another key that a delegation claims to be signed by."""
        self._next = 0
        self._gaps: set[int] = set()
        self._lines: dict[int, str] = {}

    @property
    def user_key(self) -> bytes:
        """The public key that everything stands on."""
        return self._user_key

    @property
    def night(self) -> str:
        """The night's id; empty before the first delegation."""
        return self.claims.night

    @property
    def origin(self) -> str:
        """The name of the night's log."""
        return self.claims.origin

    @property
    def foreign(self) -> Defect | None:
        """The one defect of a night that stands on another key altogether; None when the given key began it."""
        if self.claims.delegations or not self._other_key:
            return None
        told = f"the night says that the key {self._other_key} signed it; the one given is {key_id(self._user_key)}"
        return Defect(flaw=Flaw.WRONG_KEY, where="ledger.jsonl", what=told)

    def take(self, line: bytes) -> None:
        """Verify the next record.

        Args:
            line: as it stands in the file, without its end.
        """
        where = f"record {self.tree.size}"
        self.tree.append(line)
        try:
            envelope = parse_envelope(line)
            statement = parse_statement(peek_payload(envelope))
            place = read_place(statement)
        except VerificationError as error:
            self.faults.add(Flaw.MALFORMED, where, error.message)
            return
        digest = digest_bytes(line)
        if self._verifies(where, envelope, statement, place):
            self._check_place(where, place, digest)
            self.claims.read(Record(self.tree.size - 1, digest, statement))
        else:
            self._next = max(self._next, min(place.seq, self.tree.size) + 1)
            self._gaps.discard(place.seq)

    def finish(self, checkpoint: bytes | None) -> Checkpoint | None:
        """Compare the whole with the checkpoint beside it, and return that.

        Args:
            checkpoint: the signed note; None when there is none.
        """
        if missing := sorted(self._gaps):
            shown = ", ".join(map(str, missing[:10])) + (" and more" if len(missing) > 10 else "")
            self.faults.add(Flaw.MISSING, "ledger.jsonl", f"records that are not there: {shown}")
        if not self.claims.delegations:
            self.faults.add(Flaw.MISSING, "ledger.jsonl", "the user's key has delegated no night here")
        if checkpoint is None:
            self.faults.add(Flaw.MISSING, "checkpoint", "the signed checkpoint is not there")
            return None
        point = self.check_note(checkpoint, "checkpoint", Flaw.TRUNCATED)
        if point is not None and point.size < self.tree.size:
            behind = f"{self.tree.size - point.size} records stand behind the checkpoint of {point.size}"
            if self.claims.closing is not None or self.tree.size == 0:
                self.faults.add(Flaw.EXTRA, "ledger.jsonl", behind)
            else:
                self.claims.notes.append(f"{behind}; each is signed, their number is not")
        return point

    def check_note(self, note: bytes, where: str, shorter: Flaw) -> Checkpoint | None:
        """Verify a signed checkpoint of this ledger against it.

        Args:
            note: the checkpoint.
            where: where it stands.
            shorter: what it means when the ledger is shorter.
        """
        keys = [key for one in self.claims.delegations if (key := one.key(NIGHT_ROLE)) is not None]
        try:
            point = parse_checkpoint(note_text(note))
            open_note(note, keys)
        except VerificationError as error:
            self.faults.add(Flaw.MALFORMED, where, error.message)
            return None
        except SignatureError as error:
            self.faults.add(Flaw.WRONG_KEY, where, error.message)
            return None
        if point.origin != self.origin:
            self.faults.add(Flaw.WRONG_NIGHT, where, f"it is of {point.origin}, not of {self.origin}")
        elif point.size > self.tree.size:
            self.faults.add(shorter, where, f"the ledger has {self.tree.size} records, it says {point.size}")
        elif self.tree.root(point.size).hex() != point.root:
            self.faults.add(Flaw.ALTERED, where, f"the first {point.size} records have another root")
        return point

    def _verifies(self, where: str, envelope: Envelope, statement: Statement, place: Place) -> bool:
        kind = statement.predicate_type
        if kind == DELEGATION_PREDICATE:
            good = self._signed_by(where, envelope, self._user_key, "the user's key", place, None)
            claimed = envelope.signatures[0].keyid
            if not good and not self._other_key and claimed != key_id(self._user_key):
                self._other_key = claimed
            return good
        if not self.claims.delegations:
            self.faults.add(Flaw.WRONG_KEY, where, "it stands before any delegation")
            return False
        role = (
            reviewer_role(read_text(statement.predicate.get("reviewer")))
            if kind == REVIEW_PREDICATE
            else NIGHT_ROLE
        )
        now = self.claims.delegations[-1]
        key = now.key(role)
        if key is None:
            self.faults.add(Flaw.WRONG_KEY, where, f"no key was delegated to {role}")
            return False
        return self._signed_by(where, envelope, key, f"the key of {role}", place, now)

    def _signed_by(
        self,
        where: str,
        envelope: Envelope,
        key: bytes,
        whose: str,
        place: Place,
        delegation: Delegation | None,
    ) -> bool:
        try:
            signing_key(envelope, [key])
        except SignatureError as error:
            # The hint decides which of two words is used, never whether it is a defect.
            hinted = all(one.keyid == key_id(key) for one in envelope.signatures)
            flaw = Flaw.ALTERED if hinted else Flaw.WRONG_KEY
            told = "the signature does not fit" if hinted else f"it is not signed by {whose}"
            self.faults.add(flaw, where, told if len(envelope.signatures) == 1 else error.message)
            return False
        if delegation is not None and not delegation.covers(place.moment):
            self.faults.add(
                Flaw.EXPIRED_DELEGATION,
                where,
                f"signed at {place.at}; its key counts from {delegation.not_before} to {delegation.not_after}",
            )
        return True

    def _check_place(self, where: str, place: Place, digest: str) -> None:
        if self.night and place.night != self.night:
            self.faults.add(Flaw.WRONG_NIGHT, where, f"it was signed for night {place.night}")
            return
        if place.seq == self._next:
            self._next += 1
        elif place.seq > self._next:
            if place.seq - self._next > MAX_GAP:
                self.faults.add(Flaw.OUT_OF_ORDER, where, f"it says that it is record {place.seq}")
                return
            self._gaps.update(range(self._next, place.seq))
            self._next = place.seq + 1
        elif place.seq in self._gaps:
            self._gaps.remove(place.seq)
            self.faults.add(Flaw.OUT_OF_ORDER, where, f"it was signed as record {place.seq}")
        elif self._lines.get(place.seq) == digest:
            self.faults.add(Flaw.DUPLICATE, where, f"record {place.seq} stands here again")
        else:
            self.faults.add(Flaw.DUPLICATE, where, f"another record {place.seq}")
        self._lines.setdefault(place.seq, digest)
