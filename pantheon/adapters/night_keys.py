"""The keys of one night, in memory alone: made, delegated by the user's key, used by the rules, and dropped.

``HeldKeys`` is what the signer's process holds. Nothing here waits: it signs at once.
"""

from collections.abc import Sequence
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pantheon.core.checkpoint import Checkpoint, parse_checkpoint
from pantheon.core.delegation import NIGHT_ROLE, Delegation, Place, delegation_statement
from pantheon.core.dsse import PAYLOAD_TYPE, key_id, pae, seal
from pantheon.core.errors import SignatureError
from pantheon.core.signing import SigningRules
from pantheon.ports.clock import Clock
from pantheon.ports.crash_points import CrashPoint, reach
from pantheon.ports.signer import DelegationRequest, SignedBatch, SigningRequest

MAX_VALID_S = 7 * 24 * 3600.0
MAX_REMEMBERED = 1_000
"""Nights whose last checkpoint is remembered."""


class HeldKeys:
    """The user's key, and those of at most one night.

    Args:
        user_key: the user's private key.
        clock: the signer's own time.
    """

    def __init__(self, user_key: Ed25519PrivateKey, clock: Clock) -> None:
        self._user_key = user_key
        self._clock = clock
        self._keys: dict[str, Ed25519PrivateKey] = {}
        self._rules: SigningRules | None = None
        self._latest: dict[str, Checkpoint] = {}
        """Origin -> the last checkpoint of that log that was signed here; kept when the keys are dropped."""

    @property
    def public_key(self) -> bytes:
        """The user's public key, raw."""
        return self._user_key.public_key().public_bytes_raw()

    def delegate(self, request: DelegationRequest) -> bytes:
        """Make keys and return the delegation's envelope. Raises ``SignatureError``."""
        if not 0 < request.valid_s <= MAX_VALID_S:
            raise SignatureError(f"the keys of a night count for at most {MAX_VALID_S:.0f} s")
        self._refuse_other_past(request)
        now = self._clock.now()
        keys = {role: Ed25519PrivateKey.generate() for role in request.roles}
        try:
            delegation = Delegation(
                night=request.night,
                origin=request.origin,
                keys={role: key.public_key().public_bytes_raw().hex() for role, key in keys.items()},
                notBefore=now.isoformat(),
                notAfter=(now + timedelta(seconds=request.valid_s)).isoformat(),
                previous=request.previous,
            )
            place = Place(night=request.night, seq=request.seq, at=now.isoformat())
            statement = delegation_statement(delegation, place)
        except ValueError as error:
            raise SignatureError(f"no such delegation can be made: {error}") from error
        reach(CrashPoint.DELEGATE_BEFORE)
        signature = self._user_key.sign(pae(PAYLOAD_TYPE, statement))
        self._keys, self._rules = keys, SigningRules(delegation, request.seq + 1)
        reach(CrashPoint.DELEGATE_AFTER)
        return seal(statement, [(key_id(self.public_key), signature)]).to_bytes()

    def drop(self) -> None:
        """Forget the keys of the night."""
        self._keys, self._rules = {}, None

    def sign_statements(self, requests: Sequence[SigningRequest]) -> SignedBatch:
        """Sign statements up to the first that must not be."""
        signatures: list[bytes] = []
        try:
            rules, now = self._night(), self._clock.now()
            for role, statement in requests:
                rules.admit_statement(role, statement, now)
                reach(CrashPoint.SIGN_BEFORE)
                signatures.append(self._keys[role].sign(pae(PAYLOAD_TYPE, statement)))
                reach(CrashPoint.SIGN_AFTER)
        except SignatureError as error:
            return SignedBatch(tuple(signatures), error.message)
        return SignedBatch(tuple(signatures), "")

    def sign_checkpoint(self, text: str, proof: Sequence[bytes]) -> bytes:
        """Sign the lines of a checkpoint. Raises ``SignatureError``."""
        self._night().admit_checkpoint(text, proof, self._clock.now())
        point = parse_checkpoint(text)
        self._latest.pop(point.origin, None)
        self._latest[point.origin] = point
        if len(self._latest) > MAX_REMEMBERED:
            del self._latest[next(iter(self._latest))]
        return self._keys[NIGHT_ROLE].sign(text.encode())

    def _refuse_other_past(self, request: DelegationRequest) -> None:
        """Refuse keys for a log that begins before what was signed of it, unless they are bound to all of that.

        A ledger that was lost is begun again like this, and whoever verifies it is told.
        """
        last, bound = self._latest.get(request.origin), request.previous
        if last is None or request.seq >= last.size:
            return
        if bound is None or bound.origin != last.origin or bound.size < last.size:
            raise SignatureError(
                f"{last.size} records of this night were signed for, it is to go on from {request.seq}",
                hint="Restore the night's artifacts; pantheon verify tells more.",
            )

    def _night(self) -> SigningRules:
        if self._rules is None:
            raise SignatureError("no night has been delegated to this signer")
        return self._rules
