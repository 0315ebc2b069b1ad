"""What each process of a night attests before it works: how it is kept on the machine, what runs code, what answers.

Invariant: a verifier decides again from what was observed; that a statement calls itself proven proves nothing.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from pantheon.core.containment import ContainmentStatement, decide_containment
from pantheon.core.delegation import PLACE
from pantheon.core.errors import VerificationError
from pantheon.core.model import Frozen
from pantheon.core.sandbox import SandboxKind
from pantheon.core.sandbox_proof import SandboxProof
from pantheon.core.statement import CONTAINMENT_PREDICATE, Statement

CONTAINED_EVENT = "night.contained"
"""The store's note of it."""


class SandboxInForce(Frozen):
    """What code of the repository runs in, in one process of a night."""

    kind: SandboxKind
    """What the policy of that night says."""
    proof: SandboxProof | None = None
    """What was proven to hold; None where no flow of that night runs code of the repository."""


class ModelInForce(Frozen):
    """The model that one process of a night is answered by."""

    name: str = Field(max_length=500)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256: of the file where the night serves it itself, of what the server's listing says of it elsewhere."""


class Contained(Frozen):
    """The word of one process of a night on itself."""

    containment: ContainmentStatement
    sandbox: SandboxInForce
    model: ModelInForce


def contained_predicate(said: Contained, night: str) -> dict[str, Any]:
    """Return what is attested, as JSON values without floats."""
    return {**said.containment.as_predicate(), "night": night, **in_force(said)}


def in_force(said: Contained) -> dict[str, Any]:
    """Return what runs code and what answers, as JSON values: the part that the store notes too."""
    return {"sandbox": said.sandbox.model_dump(mode="json"), "model": said.model.model_dump(mode="json")}


def read_contained(statement: Statement, night: str) -> Contained:
    """Read a containment statement back.

    Raises:
        VerificationError: it is none, or of another night.
    """
    if statement.predicate_type != CONTAINMENT_PREDICATE:
        raise VerificationError("not a containment statement")
    fields: Mapping[str, Any] = statement.predicate
    if fields.get("night") != night:
        raise VerificationError("the containment statement is of another night")
    kept = {name: value for name, value in fields.items() if name not in ("night", "sandbox", "model", PLACE)}
    try:
        return Contained(
            containment=ContainmentStatement.model_validate(kept),
            sandbox=SandboxInForce.model_validate(fields.get("sandbox")),
            model=ModelInForce.model_validate(fields.get("model")),
        )
    except ValidationError as error:
        raise VerificationError(
            f"the containment statement is malformed: {error.errors()[0]['msg']}"
        ) from error


def against_contained(said: Contained) -> tuple[str, ...]:
    """Return why a containment statement proves nothing; empty when it proves that there was no way out."""
    reasons = [reason.message for reason in decide_containment(said.containment.observed).reasons]
    if not said.containment.proven:
        reasons.append("it says itself that containment was not proven")
    proof = said.sandbox.proof
    if proof is not None and proof.kind is not said.sandbox.kind:
        reasons.append(f"the policy says sandbox {said.sandbox.kind}, proven was {proof.kind}")
    return tuple(dict.fromkeys(reasons))
