"""Canonical JSON (RFC 8785) and digests: one value, one sequence of bytes, one name."""

import hashlib
from typing import Any

import rfc8785


def canonical_bytes(value: Any) -> bytes:
    """Return the RFC 8785 form of a JSON value.

    Raises:
        ValueError: the value has no canonical form (NaN, an integer beyond 2^53, a lone surrogate).
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise ValueError(str(error)) from error


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_value(value: Any) -> str:
    """Return the SHA-256 of the canonical form of a JSON value."""
    return digest_bytes(canonical_bytes(value))
