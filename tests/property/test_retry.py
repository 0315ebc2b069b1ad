"""The retry decision is bounded, spread, and says why it stops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.records import AttemptOutcome
from pantheon.core.retry import (
    CEILING_S,
    ENDED,
    MAX_LOSSES,
    FailureKind,
    Retry,
    Stop,
    decide_after_loss,
    decide_retry,
)

FRACTIONS = st.floats(min_value=0, max_value=1, exclude_max=True)
OUTCOMES = st.sampled_from(AttemptOutcome)
KINDS = st.sampled_from(FailureKind)
NUMBERS = st.integers(min_value=1, max_value=10_000)


@given(OUTCOMES, KINDS, NUMBERS, NUMBERS, FRACTIONS)
def test_attempts_never_pass_the_limit(
    outcome: AttemptOutcome, kind: FailureKind, attempt: int, limit: int, fraction: float
) -> None:
    """A retry stays below the limit and below the ceiling; a stop has a cause."""
    decision = decide_retry(outcome, kind, attempt, limit, fraction)
    if isinstance(decision, Retry):
        assert attempt < limit
        assert 0 <= decision.after_s <= CEILING_S
    else:
        assert decision.cause
        assert outcome in ENDED or kind is FailureKind.NEVER or attempt >= limit


@given(NUMBERS, FRACTIONS)
def test_a_loss_of_the_server_is_waited_out_a_bounded_number_of_times(losses: int, fraction: float) -> None:
    """Below the bound a node goes back after a wait; from there on it is left to the day, with a cause."""
    decision = decide_after_loss(losses, fraction)
    assert isinstance(decision, Retry) == (losses < MAX_LOSSES)
    if isinstance(decision, Retry):
        assert 0 < decision.after_s <= CEILING_S
    else:
        assert "the model server broke down" in decision.cause


@given(KINDS, NUMBERS, FRACTIONS)
def test_what_is_done_or_hopeless_is_never_tried_again(
    kind: FailureKind, attempt: int, fraction: float
) -> None:
    """Success, cancellation and the kind ``never`` stop, whatever is left."""
    for outcome in ENDED:
        assert isinstance(decide_retry(outcome, kind, attempt, attempt + 1, fraction), Stop)
    hopeless = decide_retry(AttemptOutcome.FAILED, FailureKind.NEVER, attempt, attempt + 1, fraction)
    assert isinstance(hopeless, Stop)


@given(st.sampled_from([FailureKind.TRANSIENT, FailureKind.INFRASTRUCTURE]), FRACTIONS, FRACTIONS)
def test_waits_grow_and_spread(kind: FailureKind, one: float, other: float) -> None:
    """The wait doubles up to the ceiling; randomness spreads it over its upper half."""

    def waits(fraction: float) -> list[float]:
        found = [decide_retry(AttemptOutcome.CRASHED, kind, number, 99, fraction) for number in range(1, 20)]
        return [decision.after_s for decision in found if isinstance(decision, Retry)]

    mine = waits(one)
    assert len(mine) == 19
    assert mine == sorted(mine)
    assert all(abs(a - b) <= max(a, b) / 2 for a, b in zip(mine, waits(other), strict=True))


@given(NUMBERS, FRACTIONS)
def test_an_answer_that_did_not_fit_is_asked_again_at_once(attempt: int, fraction: float) -> None:
    """Waiting does not mend a schema error, nor a process that died."""
    wanted = Retry(after_s=0.0)
    failed = decide_retry(AttemptOutcome.FAILED, FailureKind.SCHEMA, attempt, attempt + 1, fraction)
    died = AttemptOutcome.INTERRUPTED
    assert failed == wanted
    assert decide_retry(died, FailureKind.INFRASTRUCTURE, attempt, attempt + 1, fraction) == wanted


@pytest.mark.parametrize(
    ("attempt", "limit", "fraction"),
    [(0, 1, 0.0), (1, 0, 0.0), (1, 1, 1.0), (1, 1, -0.1), (1, 1, float("nan"))],
)
def test_nonsense_is_refused(attempt: int, limit: int, fraction: float) -> None:
    """Numbers that mean nothing raise instead of deciding."""
    with pytest.raises(ValueError, match=r"attempt|rng_fraction"):
        decide_retry(AttemptOutcome.FAILED, FailureKind.TRANSIENT, attempt, limit, fraction)
