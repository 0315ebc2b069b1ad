"""The seam to the signing key."""

from typing import Protocol


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
