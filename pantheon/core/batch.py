"""A batch: the lines of one enqueue, frozen and signed together.

Same content, same name. A label is part of the name, so that the same lines can be queued a second time on
purpose.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import Field

from pantheon.core.errors import ConfigError
from pantheon.core.model import Frozen
from pantheon.core.statement import BATCH_PREDICATE, Statement, make_statement

MAX_LABEL_CHARS = 100
_SHOWN = MappingProxyType(
    {"flows": "flows/", "agents": "agents/", "policies": "policies/", "settings": "pantheon.toml: "}
)
"""Field of the pins -> what stands before a name in messages."""


class Pins(Frozen):
    """Digests of what was in force when a batch was frozen."""

    flows: Mapping[str, str] = Field(default_factory=dict)
    agents: Mapping[str, str] = Field(default_factory=dict)
    policies: Mapping[str, str] = Field(default_factory=dict)
    settings: Mapping[str, str] = Field(default_factory=dict)
    """Section of ``pantheon.toml`` -> digest of what it says about whom and what to trust."""
    model: str = ""
    """SHA-256 of the embedded model's file; for another server ``name:`` and what it calls the model, or empty."""

    def drift(self, now: "Pins") -> tuple[str, ...]:
        """Return what differs between these pins and ``now``, as short sentences."""
        changes = []
        for room, shown in _SHOWN.items():
            before, after = getattr(self, room), getattr(now, room)
            for name in sorted(set(before) | set(after)):
                if before.get(name) != after.get(name):
                    state = (
                        "is gone" if name not in after else "is new" if name not in before else "has changed"
                    )
                    changes.append(f"{shown}{name} {state}")
        if self.model != now.model:
            changes.append("the model is another one")
        return tuple(changes)


class BatchClaim(Frozen):
    """What a batch's attestation says."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the frozen file."""
    lines: int = Field(ge=1, alias="count")
    label: str = Field(default="", max_length=MAX_LABEL_CHARS)
    enqueued_at: str = Field(alias="enqueuedAt")
    """RFC 3339, UTC."""
    base_commit: str = Field(alias="baseCommit")
    """What was checked out; empty in a repository without a commit."""
    pins: Pins
    version: str
    """Pantheon's version."""

    @property
    def name(self) -> str:
        """The batch's name: 12 digits."""
        return batch_name(self.digest, self.label)


def check_label(label: str) -> str:
    """Return the label. Raises ``ConfigError`` when it could not stand in one line of a table."""
    if label and (label != label.strip() or not label.isprintable() or len(label) > MAX_LABEL_CHARS):
        raise ConfigError(
            f"--label {label[:MAX_LABEL_CHARS]!r}: 1 to {MAX_LABEL_CHARS} printable characters, no space at the ends"
        )
    return label


def batch_name(digest: str, label: str = "") -> str:
    """Return the 12 digits a batch goes by: of its content's digest, or of digest and label."""
    if not label:
        return digest[:12]
    return hashlib.sha256(f"{digest}\0{label}".encode()).hexdigest()[:12]


def batch_statement(claim: BatchClaim) -> bytes:
    """Return the statement that is signed."""
    predicate: dict[str, Any] = claim.model_dump(mode="json", by_alias=True, exclude={"digest"})
    return make_statement({f"{claim.name}.jsonl": claim.digest}, BATCH_PREDICATE, predicate)


def read_claim(statement: Statement) -> BatchClaim:
    """Read a batch's claim back. Raises ``ValueError`` when the statement is about something else."""
    if statement.predicate_type != BATCH_PREDICATE or len(statement.subject) != 1:
        raise ValueError("not the statement of a batch")
    subject = statement.subject[0]
    claim = BatchClaim.model_validate({**statement.predicate, "digest": subject.digest.get("sha256", "")})
    if subject.name != f"{claim.name}.jsonl":
        raise ValueError(f"the statement names {subject.name!r}, not {claim.name}.jsonl")
    return claim
