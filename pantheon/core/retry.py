"""Whether a failed attempt is followed by another one, and after how long.

A retry is a decision on values. Randomness comes in as a number, so that the same values decide the same.
"""

from enum import StrEnum

from pydantic import Field

from pantheon.core.model import Frozen
from pantheon.core.records import AttemptOutcome

BASE_S = 1.0
"""Longest wait before the second attempt, in seconds; it doubles with every attempt."""
CEILING_S = 60.0
"""Longest wait of all, in seconds."""
MAX_DOUBLINGS = 32
MAX_LOSSES = 6
"""A node under which the model server broke so often is left to the day: it may be what breaks it."""


class FailureKind(StrEnum):
    """What sort of failure it was: how far trying again can help."""

    TRANSIENT = "transient"
    """Overload, time-out: goes away by itself."""
    SCHEMA = "schema"
    """The model's answer did not fit; another sampling may."""
    INFRASTRUCTURE = "infrastructure"
    """The machine broke, not the work."""
    SERVER = "server"
    """The model server broke: goes back without using up an attempt; see ``decide_after_loss``."""
    NEVER = "never"
    """The same input will fail the same way."""


class Retry(Frozen):
    """Try again."""

    after_s: float = Field(ge=0)
    """Seconds to wait."""


class Stop(Frozen):
    """Try no more."""

    cause: str
    """Why, in one line; stable enough to group by."""


ENDED = frozenset({AttemptOutcome.SUCCEEDED, AttemptOutcome.CANCELLED})
"""Outcomes that nobody wants another attempt after."""


def decide_retry(
    outcome: AttemptOutcome, kind: FailureKind, attempt: int, limit: int, rng_fraction: float
) -> Retry | Stop:
    """Decide what follows an attempt.

    Args:
        outcome: how the attempt ended. ``interrupted`` is tried again at once: the process died, not the work.
        kind: what sort of failure it was.
        attempt: number of the attempt that ended, from 1.
        limit: attempts in all, at least 1.
        rng_fraction: random number in [0, 1) that spreads the wait.

    Returns:
        ``Retry`` with a wait between half of and the whole of the back-off (none for ``schema``: another
        sampling helps, waiting does not), or ``Stop``.

    Raises:
        ValueError: ``attempt`` or ``limit`` below 1, or ``rng_fraction`` outside [0, 1).
    """
    if attempt < 1 or limit < 1:
        raise ValueError(f"attempt {attempt} of {limit}: both count from 1")
    if not 0.0 <= rng_fraction < 1.0:
        raise ValueError(f"rng_fraction is in [0, 1), not {rng_fraction}")
    if outcome in ENDED:
        return Stop(cause=str(outcome))
    if kind is FailureKind.NEVER:
        return Stop(cause="trying again would fail the same way")
    if attempt >= limit:
        return Stop(cause=f"{limit} {'attempt' if limit == 1 else 'attempts'} used up ({kind})")
    if kind is FailureKind.SCHEMA or outcome is AttemptOutcome.INTERRUPTED:
        return Retry(after_s=0.0)
    return _back_off(attempt, rng_fraction)


def decide_after_loss(losses: int, rng_fraction: float) -> Retry | Stop:
    """Decide what follows an attempt under which the model server broke; it is none of the node's attempts.

    Args:
        losses: how often the server broke under the node, this time included.
        rng_fraction: random number in [0, 1) that spreads the wait.
    """
    if losses >= MAX_LOSSES:
        return Stop(cause=f"the model server broke down under it {losses} times")
    return _back_off(losses, rng_fraction)


def _back_off(number: int, rng_fraction: float) -> Retry:
    longest_s = min(CEILING_S, BASE_S * 2.0 ** min(number - 1, MAX_DOUBLINGS))
    return Retry(after_s=longest_s * (0.5 + 0.5 * rng_fraction))
