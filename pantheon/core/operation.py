"""Operations: the writing tool calls that a candidate commit consists of, carried in its message.

A commit made by tools says itself how to make it again: each writing call stands in the message as one
``Pantheon-Operation`` trailer with canonical JSON. The merge replays them where the night's branch has moved on.

Source: ADR 0005.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field, ValidationError

from pantheon.core.canonical import canonical_bytes
from pantheon.core.errors import PantheonError
from pantheon.core.model import Frozen
from pantheon.core.strict_json import parse_json

TRAILER = "Pantheon-Operation"
TASK_TRAILER = "Pantheon-Task"


class Operation(Frozen):
    """One writing tool call, with every argument spelled out."""

    tool: str
    args: dict[str, Any]
    changed: tuple[str, ...] = Field(default=())
    """Paths that it changed, old and new names both."""


def operation_message(subject: str, operations: Iterable[Operation], **trailers: str) -> str:
    """Return a commit message.

    Args:
        subject: first line; control characters and newlines become spaces, here and in the trailers.
        operations: what the commit consists of.
        trailers: further trailers; ``pantheon_task`` becomes ``Pantheon-Task``.
    """
    first = _on_one_line(subject)[:120].rstrip() or "Change"
    lines = [
        f"{'-'.join(part.capitalize() for part in name.split('_'))}: {_on_one_line(value)}"
        for name, value in trailers.items()
    ]
    lines += [f"{TRAILER}: {canonical_bytes(op.model_dump(mode='json')).decode()}" for op in operations]
    return f"{first}\n\n" + "\n".join(lines) + "\n"


def parse_operations(values: Sequence[str]) -> tuple[Operation, ...]:
    """Read operations back from the values of their trailers.

    Raises:
        PantheonError: a value is not an operation; the commit was not made by tools.
    """
    try:
        return tuple(Operation.model_validate(parse_json(value)) for value in values)
    except (ValueError, ValidationError) as error:
        raise PantheonError(f"a {TRAILER} trailer is not an operation: {error}") from error


def follow_path(path: str, operations: Iterable[Operation]) -> str:
    """Return where ``path`` is after the operations, renames included."""
    for operation in operations:
        if operation.tool == "rename_note" and operation.args.get("path") == path:
            folder = path.rpartition("/")[0]
            name = str(operation.args["new_name"])
            path = f"{folder}/{name}" if folder else name
    return path


def _on_one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
