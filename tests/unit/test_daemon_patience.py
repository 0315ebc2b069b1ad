"""How long the daemon waits for a model server that does not answer, and what it writes down meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest

from pantheon.core.daemon import Rest, Work
from pantheon.core.daemon_judgement import Refusal, after_change, judge_end, tell_end
from pantheon.core.window import Span

NOW = datetime(2026, 11, 21, 22, tzinfo=UTC)
TONIGHT = Span(NOW, NOW + timedelta(hours=8))
AWAY = Refusal("server_away", "the model server does not answer: connection refused", "Start it.")
WORK = Work(tasks=1)


def refused(refusal: Refusal | None, before: Rest | None = None) -> Rest:
    rest = judge_end(3, WORK, found=WORK, before=before, now=NOW, span=TONIGHT, asked=False, refusal=refusal)
    assert rest is not None
    return rest


def pause_s(rest: Rest) -> float:
    assert rest.until is not None
    return (rest.until - NOW).total_seconds()


def test_a_server_that_loads_is_asked_again_after_minutes() -> None:
    """One minute, two, four, eight, and never longer: about as long as it has been waited for already."""
    rest, pauses = None, []
    for _ in range(6):
        rest = refused(AWAY, rest)
        pauses.append(pause_s(rest))
    assert pauses == [60, 120, 240, 480, 480, 480]
    assert rest is not None
    assert "does not answer yet" in rest.why
    assert after_change(rest, WORK) == rest, "a new batch makes no server answer sooner"


@pytest.mark.parametrize(
    "refusal", [None, Refusal("preflight", "the queue was altered"), Refusal("config", "a: wrong")]
)
def test_every_other_refusal_keeps_the_long_rest(refusal: Refusal | None) -> None:
    """An hour or a change, also right after a server that did not answer; the status tells the night's own words."""
    rest = refused(refusal, refused(AWAY))
    assert pause_s(rest) == 3_600
    assert not rest.failures
    assert after_change(rest, WORK) is None
    if refusal is not None:
        assert refusal.message in rest.why


def test_a_crash_after_a_server_that_was_away_is_the_first_crash() -> None:
    """Each reason counts for itself."""
    away = refused(AWAY, refused(AWAY))
    crash = judge_end(-9, WORK, found=WORK, before=away, now=NOW, span=TONIGHT, asked=False)
    assert crash is not None
    assert crash.failures == 1
    assert refused(AWAY, crash).failures == 1


def test_what_is_written_down_says_why() -> None:
    """The night's own words with what to do; an ordinary end is nothing to write down."""
    assert tell_end(3, AWAY) == (
        "a night was refused (exit code 3): the model server does not answer: connection refused. Start it."
    )
    assert "pantheon doctor" in tell_end(2, None)
    assert tell_end(-9, None) == "a night was killed by signal 9"
    assert tell_end(4, None) == "a night failed with exit code 4"
    assert [tell_end(code, None) for code in (0, 1, 5, 6, 130)] == [""] * 5
