"""Which batches the nights of an artifacts folder say they have worked, read without believing it.

Invariants: nothing is written, no link is followed, a pipe cannot hold it up, and memory is bounded by a line and the
names of the batches.
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from pantheon.adapters.night_folder import LEDGER, READ
from pantheon.core.dsse import MAX_ENVELOPE_BYTES, parse_envelope, peek_payload
from pantheon.core.errors import SignatureError
from pantheon.core.statement import ATTEMPT_PREDICATE, parse_statement


def find_worked(artifacts: Path, known: Collection[str]) -> dict[str, str]:
    """Return batch -> id of the night that worked it, for nights that are not known; blocking.

    Args:
        artifacts: the folder of all nights.
        known: ids of nights that are passed over.
    """
    found: dict[str, str] = {}
    try:
        nights = sorted(one.name for one in artifacts.iterdir() if one.name not in known)
    except FileNotFoundError:
        return found
    for night in nights:
        for task in _tasks(artifacts / night / LEDGER):
            found.setdefault(task.partition("/")[0], night)
    return found


def _tasks(ledger: Path) -> Iterator[str]:
    """Yield the task of each attempt in a ledger; what is none is passed over, for a verifier tells of it."""
    try:
        handle = os.open(ledger, READ)
    except OSError:
        return
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return
        while line := file.readline(MAX_ENVELOPE_BYTES + 2):
            try:
                statement = parse_statement(peek_payload(parse_envelope(line.rstrip(b"\n"))))
            except SignatureError:
                continue
            task = statement.predicate.get("task")
            if statement.predicate_type == ATTEMPT_PREDICATE and isinstance(task, str):
                yield task
