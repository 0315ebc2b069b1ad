"""What all signed formats read alike: base64 with one spelling for each value, and Ed25519 signatures over bytes."""

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pantheon.core.errors import VerificationError


def is_signed(key: bytes, signature: bytes, signed: bytes) -> bool:
    """Tell whether a public key's owner has signed these bytes; no malformed key or signature has."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def decode_base64(text: str) -> bytes:
    """Decode standard base64 in its canonical spelling. Raises ``VerificationError`` for any other."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise VerificationError(f"not standard base64: {error}") from error
    if base64.b64encode(data).decode() != text:
        raise VerificationError("not canonical base64")
    return data
