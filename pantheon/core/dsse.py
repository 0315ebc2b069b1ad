"""DSSE envelopes: signatures over exact bytes together with their type.

Invariants:
- what is verified is the bytes that were signed; they are parsed only afterwards;
- ``keyid`` is a hint and decides nothing: signatures are counted by distinct public keys;
- reading is strict: standard base64, no unknown field, no key twice, a ceiling on size.

Source: DSSE v1.0.2 (protocol and envelope).
"""

import base64
from collections.abc import Iterable

from pydantic import Field, ValidationError

from pantheon.core.canonical import canonical_bytes, digest_value
from pantheon.core.errors import SignatureError, VerificationError
from pantheon.core.model import Frozen
from pantheon.core.signature_bytes import decode_base64, is_signed
from pantheon.core.strict_json import parse_json

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_ENVELOPE_BYTES = 4_000_000
MAX_SIGNATURES = 16


class EnvelopeSignature(Frozen):
    """One signature."""

    keyid: str = Field(min_length=1, max_length=200)
    """A hint for people; nothing is decided by it."""
    sig: str = Field(min_length=1, max_length=200)
    """Standard base64."""


class Envelope(Frozen):
    """A payload with its signatures."""

    payload: str
    """Standard base64."""
    payload_type: str = Field(alias="payloadType", min_length=1)
    signatures: tuple[EnvelopeSignature, ...] = Field(min_length=1, max_length=MAX_SIGNATURES)

    def to_bytes(self) -> bytes:
        """Return the canonical JSON of the envelope, one line."""
        return canonical_bytes(self.model_dump(mode="json", by_alias=True))


def key_id(public_key: bytes) -> str:
    """Return the id of an Ed25519 public key: SHA-256 over its canonical description."""
    return digest_value({"keytype": "ed25519", "keyval": {"public": public_key.hex()}, "scheme": "ed25519"})


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(payload: bytes, signatures: Iterable[tuple[str, bytes]]) -> Envelope:
    """Return an envelope around a statement.

    Args:
        payload: the statement's bytes.
        signatures: (key id, 64-byte signature over ``pae(PAYLOAD_TYPE, payload)``).
    """
    return Envelope(
        payload=base64.b64encode(payload).decode(),
        payloadType=PAYLOAD_TYPE,
        signatures=tuple(
            EnvelopeSignature(keyid=key, sig=base64.b64encode(signature).decode())
            for key, signature in signatures
        ),
    )


def seal_line(payload: bytes, key: str, signature: bytes) -> bytes:
    """Return the bytes of an envelope with one signature, as ``seal(...).to_bytes()`` would, in a tenth of the time.

    Args:
        payload: the statement's bytes.
        key: the key's id; hexadecimal.
        signature: 64 bytes over ``pae(PAYLOAD_TYPE, payload)``.
    """
    return b'{"payload":"%b","payloadType":"%b","signatures":[{"keyid":"%b","sig":"%b"}]}' % (
        base64.b64encode(payload), PAYLOAD_TYPE.encode(), key.encode(), base64.b64encode(signature),
    )  # fmt: skip


def parse_envelope(data: bytes) -> Envelope:
    """Read an envelope strictly. Raises ``VerificationError`` for anything else."""
    if len(data) > MAX_ENVELOPE_BYTES:
        raise VerificationError(f"an envelope of {len(data)} bytes is larger than {MAX_ENVELOPE_BYTES}")
    try:
        return Envelope.model_validate(parse_json(data))
    except (ValueError, RecursionError, ValidationError) as error:
        raise VerificationError(f"not an envelope: {error}") from error


def open_envelope(envelope: Envelope, trusted: Iterable[bytes], *, threshold: int = 1) -> bytes:
    """Return the payload when enough distinct trusted keys signed it.

    Args:
        envelope: as parsed.
        trusted: raw Ed25519 public keys, 32 bytes each.
        threshold: number of distinct keys that must have signed.

    Raises:
        SignatureError: too few good signatures, or a payload of another type.
        VerificationError: there is no key to verify with, or the base64 is malformed.
    """
    keys = set(trusted)
    if not keys:
        raise VerificationError("there is no public key to verify with")
    payload = decode_base64(envelope.payload)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise SignatureError(f"the payload is of type {envelope.payload_type!r}, not {PAYLOAD_TYPE!r}")
    signed = pae(envelope.payload_type, payload)
    signatures = [decode_base64(signature.sig) for signature in envelope.signatures]
    good = {key for key in keys if any(is_signed(key, one, signed) for one in signatures)}
    if len(good) < max(threshold, 1):
        raise SignatureError(f"{len(good)} of {max(threshold, 1)} trusted keys have signed this")
    return payload


def peek_payload(envelope: Envelope) -> bytes:
    """Return the payload without looking at signatures, to learn which keys are to verify it.

    Raises:
        VerificationError: a payload of another type, or malformed base64.
    """
    if envelope.payload_type != PAYLOAD_TYPE:
        raise VerificationError(f"the payload is of type {envelope.payload_type!r}, not {PAYLOAD_TYPE!r}")
    return decode_base64(envelope.payload)
