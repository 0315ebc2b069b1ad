"""in-toto Statements: what a signature says about which bytes.

Statements hold no floats: times are RFC 3339 strings, durations whole milliseconds, so that every reader of
JSON reads the same value.

Source: in-toto Attestation Framework, Statement v1.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from pantheon.core.canonical import canonical_bytes
from pantheon.core.errors import VerificationError
from pantheon.core.model import Frozen
from pantheon.core.strict_json import parse_json

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_BASE = "https://pantheon.local/attestation"
BATCH_PREDICATE = f"{_BASE}/batch/v1"
ATTEMPT_PREDICATE = f"{_BASE}/attempt/v1"
REVIEW_PREDICATE = f"{_BASE}/review/v1"
CONTAINMENT_PREDICATE = f"{_BASE}/containment/v1"
DELEGATION_PREDICATE = f"{_BASE}/delegation/v1"
RECOVERY_PREDICATE = f"{_BASE}/recovery/v1"
NIGHT_PREDICATE = f"{_BASE}/night/v1"
MERGE_PREDICATE = f"{_BASE}/merge/v1"
CANARY_PREDICATE = f"{_BASE}/canary/v1"
TEST_RESULT_PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
DECISION_PREDICATE = "https://slsa.dev/verification_summary/v1"

Digests = Mapping[str, str]
"""Algorithm -> lower-case hexadecimal digest."""


class Subject(Frozen):
    """Bytes that a statement is about."""

    name: str = Field(min_length=1)
    digest: Mapping[str, str] = Field(min_length=1)
    """Algorithm -> lower-case hexadecimal digest."""


class Statement(Frozen):
    """A claim about its subjects."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Subject, ...] = Field(min_length=1)
    predicate_type: str = Field(alias="predicateType", min_length=1)
    predicate: Mapping[str, Any]


def make_statement(
    subjects: Mapping[str, str | Digests], predicate_type: str, predicate: Mapping[str, Any]
) -> bytes:
    """Return the canonical bytes of a statement.

    Args:
        subjects: name -> SHA-256, or digests by algorithm.
        predicate_type: URI of the predicate.
        predicate: JSON values without floats.

    Raises:
        ValueError: a float, or a value without a canonical form.
    """
    _refuse_floats(predicate, "predicate")
    return canonical_bytes(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": name, "digest": {"sha256": digest} if isinstance(digest, str) else dict(digest)}
                for name, digest in sorted(subjects.items())
            ],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )


def parse_statement(data: bytes) -> Statement:
    """Read a statement strictly.

    Raises:
        VerificationError: not UTF-8 JSON, a key that stands twice, an unknown field, a float.
    """
    try:
        value = parse_json(data)
        _refuse_floats(value, "statement")
        return Statement.model_validate(value)
    except (ValueError, RecursionError, ValidationError) as error:
        raise VerificationError(f"not a statement: {error}") from error


def _refuse_floats(value: Any, where: str) -> None:
    if isinstance(value, float):
        raise ValueError(f"{where}: {value} is a float")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_floats(item, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            _refuse_floats(item, f"{where}.{place}")
