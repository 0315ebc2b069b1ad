"""What the night attests of a canary: built here, read back strictly.

A canary is named by the digest of what it would have made of its target. No commit, tree or diff of it exists that a
record could speak of, and a record of a canary is no verdict.
"""

from collections.abc import Sequence

from pydantic import ValidationError

from pantheon.core.attestations import Claim, signing_key
from pantheon.core.canaries import CanaryResult
from pantheon.core.canonical import digest_bytes
from pantheon.core.delegation import NIGHT_ROLE, PLACE, Delegation, keys_at, read_place
from pantheon.core.dsse import parse_envelope, peek_payload
from pantheon.core.errors import VerificationError
from pantheon.core.statement import CANARY_PREDICATE, Statement, parse_statement

SUBJECT = "canary"


def canary_claim(result: CanaryResult) -> Claim:
    """Return what the night attests of a canary: subjects and predicate."""
    content = result.content or digest_bytes(b"")
    return {SUBJECT: content}, result.model_dump(mode="json", by_alias=True)


def parse_canary(statement: Statement) -> CanaryResult:
    """Read the record of a canary, unverified.

    Raises:
        VerificationError: it is none, or not about what it says.
    """
    if statement.predicate_type != CANARY_PREDICATE:
        raise VerificationError("not the record of a canary")
    said = {name: value for name, value in statement.predicate.items() if name != PLACE}
    try:
        result = CanaryResult.model_validate(said)
    except ValidationError as error:
        raise VerificationError(f"the record of a canary is malformed: {error.errors()[0]['msg']}") from error
    named = {one.name: dict(one.digest) for one in statement.subject}
    if named != {SUBJECT: {"sha256": result.content or digest_bytes(b"")}} or len(statement.subject) != 1:
        raise VerificationError("the record's subject is not the canary that it names")
    if read_place(statement).night != result.night:
        raise VerificationError("the canary is of another night than its place")
    return result


def read_canary(line: bytes, delegations: Sequence[Delegation]) -> CanaryResult:
    """Read the envelope of a canary's record and verify that the night's own key signed it in its time.

    Raises:
        SignatureError: it did not.
        VerificationError: it is no record of a canary.
    """
    envelope = parse_envelope(line)
    statement = parse_statement(peek_payload(envelope))
    result = parse_canary(statement)
    signing_key(envelope, keys_at(delegations, NIGHT_ROLE, read_place(statement).moment))
    return result
