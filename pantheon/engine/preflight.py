"""What a night verifies before it starts: signed batches that are unaltered, and pins that have not drifted."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from pantheon.core.batch import BatchClaim, Pins, read_claim
from pantheon.core.dsse import open_envelope, parse_envelope
from pantheon.core.errors import PreflightError, SignatureError
from pantheon.core.statement import parse_statement
from pantheon.ports.queue import QueueFolder


@dataclass(frozen=True)
class QueueProblem:
    """Why one batch must not be worked."""

    batch: str
    why: str


async def verify_queue(
    queue: QueueFolder, trusted: Sequence[bytes]
) -> tuple[tuple[BatchClaim, ...], tuple[QueueProblem, ...]]:
    """Verify signature, digest and count of every batch; returns the sound ones and what is wrong with others.

    Args:
        queue: the folder.
        trusted: public keys that may sign batches.
    """
    return await asyncio.to_thread(_verify_all, queue, trusted)


def refuse_problems(problems: Sequence[QueueProblem]) -> None:
    """Raise ``PreflightError`` naming every altered batch; nothing is worked while one is there."""
    if problems:
        named = "\n".join(f"  queue/{problem.batch}: {problem.why}" for problem in problems)
        raise PreflightError(
            f"the queue was altered after it was signed:\n{named}",
            hint="Move the named files away, or restore them, and enqueue the tasks again.",
            batches=[problem.batch for problem in problems],
        )


def refuse_drift(claims: Sequence[BatchClaim], now: Pins, *, accepted_because: str) -> tuple[str, ...]:
    """Return what drifted since each batch was frozen, as sentences.

    Args:
        claims: the batches that are about to be worked.
        now: what is in force.
        accepted_because: the operator's reason to go on all the same; empty refuses.

    Raises:
        PreflightError: something drifted and no reason was given.
    """
    drifted = tuple(f"{claim.name}: {change}" for claim in claims for change in claim.pins.drift(now))
    if drifted and not accepted_because:
        named = "\n".join(f"  {line}" for line in drifted)
        raise PreflightError(
            f"what batches were frozen with has changed since:\n{named}",
            hint="Enqueue them again, or say why it is fine: pantheon night --accept-drift REASON",
            drift=list(drifted),
        )
    return drifted


def _verify_all(
    queue: QueueFolder, trusted: Sequence[bytes]
) -> tuple[tuple[BatchClaim, ...], tuple[QueueProblem, ...]]:
    sound, problems = [], []
    for name in queue.names():
        try:
            sound.append(_verify_batch(queue, name, trusted))
        except (SignatureError, ValueError, ValidationError) as error:
            problems.append(QueueProblem(name, str(error).split("\n")[0]))
    return tuple(sound), tuple(problems)


def _verify_batch(queue: QueueFolder, name: str, trusted: Sequence[bytes]) -> BatchClaim:
    claim = read_claim(parse_statement(open_envelope(parse_envelope(queue.read_envelope(name)), trusted)))
    if claim.name != name:
        raise ValueError(f"the attestation is of batch {claim.name}")
    if not queue.has(name):
        raise ValueError("the lines are missing")
    found, lines = hashlib.sha256(), 0
    for line in queue.read_lines(name):
        found.update(line + b"\n")
        lines += 1
    if found.hexdigest() != claim.digest:
        raise ValueError("the lines are not the ones that were signed")
    if lines != claim.lines:
        raise ValueError(f"{lines} lines, but {claim.lines} were signed")
    return claim
