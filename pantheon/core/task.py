"""The task: one line of the queue, one micro-operation on one target.

Invariants:
- a task is plain data from an untrusted author: every text has a ceiling, every path is relative and stays
  inside the repository (symbolic links are the enqueue use case's business, which can look at the disk);
- ``canonical_line`` is the frozen form: RFC 8785, one line, no trailing newline.
"""

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, model_validator

from pantheon.core.canonical import canonical_bytes, digest_value
from pantheon.core.model import Frozen

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
KIND_PATTERN = r"^[a-z][a-z0-9._-]{0,63}$"
MAX_PATH_BYTES = 1024


def check_relative_path(path: str) -> str:
    """Return ``path`` when it is a plain relative POSIX path inside the repository.

    Raises:
        ValueError: empty, absolute, ``..``, ``.git``, a backslash, a control character, or too long.
    """
    if not path or len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise ValueError(f"a path has 1 to {MAX_PATH_BYTES} bytes")
    if re.search(r"[\x00-\x1f\x7f\\]", path):
        raise ValueError("a path has no control character and no backslash")
    if path.startswith(("/", "~")):
        raise ValueError("a path is relative to the repository's root")
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("a path leaves no room for '..', '.' or an empty part")
    if any(part.lower() == ".git" for part in parts):
        raise ValueError("git's own folder is not a target")
    return path


def is_plain(path: str) -> bool:
    """Tell whether a path is one that a task can have as its target."""
    try:
        check_relative_path(path)
        path.encode("utf-8")
    except ValueError:
        return False
    return True


Whole = Annotated[int, Field(strict=True)]
"""An integer that is no boolean, no text and no number with a fraction of zero."""
RelativePath = Annotated[str, AfterValidator(check_relative_path)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class Budget(Frozen):
    """Ceilings of one task's agents; reaching one is an outcome, not an error."""

    max_steps: Whole = Field(default=8, ge=1, le=100)
    """Model turns in one attempt."""
    max_failures: Whole = Field(default=2, ge=0, le=20)
    """Turns that may fail (schema, tool) before the attempt ends."""
    timeout_s: Whole = Field(default=600, ge=1, le=86_400)
    """Wall time of one attempt, in seconds."""
    max_tokens: Whole = Field(default=8_000, ge=16, le=1_000_000)
    """Output tokens of one attempt."""


class Task(Frozen):
    """One validated task line."""

    id: str = Field(pattern=ID_PATTERN)
    """Unique within its batch; a digest of the rest of the line when the author gave none."""
    kind: str | None = Field(default=None, pattern=KIND_PATTERN)
    """What sort of work; routes the task to the flow that accepts it."""
    package: str = Field(default="", max_length=200)
    """The part of the repository it belongs to; groups the report and the pull requests."""
    goal: str = Field(min_length=1, max_length=2_000)
    """What should be true afterwards, in one sentence."""
    targets: tuple[RelativePath, ...] = Field(default=(), max_length=64)
    """The files the task may change."""
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    """Free parameters for the flow."""
    needs: tuple[Annotated[str, StringConstraints(pattern=ID_PATTERN)], ...] = Field(
        default=(), max_length=256
    )
    """Ids of tasks of the same batch that must be accepted first."""
    priority: Whole = Field(default=0, ge=-1_000, le=1_000)
    """Higher goes first among tasks that are equally critical."""
    accept: tuple[ShortText, ...] = Field(default=(), max_length=32)
    """Acceptance tests, as sentences."""
    flow: str | None = Field(default=None, pattern=KIND_PATTERN)
    """Name of the flow; overrides routing by kind."""
    budget: Budget = Field(default_factory=Budget)

    @model_validator(mode="before")
    @classmethod
    def _default_id(cls, data: Any) -> Any:
        if isinstance(data, dict) and "id" not in data:
            return {**data, "id": "t-" + digest_value(data)[:12]}
        return data

    @model_validator(mode="after")
    def _routable(self) -> "Task":
        if self.kind is None and self.flow is None:
            raise ValueError("kind: missing; a task names its kind or its flow")
        return self

    def canonical_line(self) -> bytes:
        """Return the frozen form of the task: canonical JSON without a newline."""
        value = self.model_dump(mode="json")
        if self.inputs:
            return canonical_bytes(value)
        # Without free inputs there are only texts, integers and our own ASCII keys, where the standard library's
        # form is the canonical one, ten times faster; a property test holds the two together.
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
