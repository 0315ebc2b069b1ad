"""The seams to the signing keys: the user's own, and those of one night."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pantheon.core.checkpoint import Checkpoint


class Signer(Protocol):
    """Signs bytes with Ed25519; the private key never leaves it."""

    @property
    def key_id(self) -> str:
        """SHA-256 of the canonical public-key description (securesystemslib's computation)."""
        ...

    @property
    def public_key(self) -> bytes:
        """The 32 raw bytes of the public key."""
        ...

    async def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature over ``data``. Raises ``SignatureError``."""
        ...


class DelegationRequest(NamedTuple):
    """What the keys of a night are to be good for."""

    night: str
    origin: str
    """Name of the night's log."""
    roles: tuple[str, ...]
    """One key is made for each."""
    seq: int
    """Place of the delegation in the ledger."""
    previous: Checkpoint | None
    valid_s: float


class SigningRequest(NamedTuple):
    """One statement to be signed."""

    role: str
    statement: bytes


class SignedBatch(NamedTuple):
    """What was signed of a batch of requests, in their order, up to the first that was refused."""

    signatures: tuple[bytes, ...]
    refusal: str
    """Why the next one was refused; empty when none was."""


class NightSigner(Protocol):
    """Holds the keys of one night, which exist nowhere else; signs by the rules of ``core.signing``."""

    @property
    def public_key(self) -> bytes:
        """The 32 raw bytes of the user's public key, which signs the delegation."""
        ...

    async def delegate(self, request: DelegationRequest) -> bytes:
        """Make the night's keys and return the delegation's envelope, one line without its end.

        Keys that were made before are dropped. Raises ``SignatureError``.
        """
        ...

    async def sign_statements(self, requests: Sequence[SigningRequest]) -> SignedBatch:
        """Sign statements, 64 bytes each. Raises ``SignatureError`` when the signer does not answer."""
        ...

    async def sign_checkpoint(self, text: str, proof: Sequence[bytes]) -> bytes:
        """Sign the three lines of a checkpoint.

        Args:
            text: the lines.
            proof: that it continues the last one that was signed; empty for the first.

        Raises:
            SignatureError: the signer refuses or does not answer.
        """
        ...
