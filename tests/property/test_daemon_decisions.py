"""Laws of what the daemon does next, over any situation."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from pantheon.core.daemon import (
    Leave,
    Look,
    Press,
    Rest,
    Running,
    Situation,
    Start,
    Urgency,
    Wait,
    Work,
    decide_next,
)
from pantheon.core.daemon_judgement import after_change, judge_end, wait_for_operator
from pantheon.core.missed_window import catch_up_span, explain_missed, find_missed
from pantheon.core.window import Span

NOW = datetime(2026, 11, 21, 23, tzinfo=UTC)
NEAR = st.integers(-40_000, 40_000).map(lambda seconds: NOW + timedelta(seconds=seconds))
SPANS = st.tuples(NEAR, st.integers(60, 40_000)).map(lambda it: Span(it[0], it[0] + timedelta(seconds=it[1])))
WORK = st.builds(
    Work,
    tasks=st.integers(0, 3),
    unread=st.integers(0, 2),
    open_night=st.sampled_from(["", "n1"]),
    told_to_wait=st.booleans(),
    to_land=st.integers(0, 2),
)
RESTS = st.builds(
    Rest, until=st.none() | NEAR, why=st.just("so"), failures=st.integers(0, 9), span=st.none() | SPANS
)
RUNNING = st.builds(
    Running,
    ends_at=st.none() | NEAR,
    told=st.sampled_from(Urgency),
    told_s=st.floats(0, 1_000),
    drains_at=st.none() | NEAR,
)
SITUATIONS = st.builds(
    Situation,
    now=NEAR,
    span=st.none() | SPANS,
    last_start_s=st.sampled_from([0.0, 900.0, 50_000.0]),
    work=st.none() | WORK,
    running=st.none() | RUNNING,
    rest=st.none() | RESTS,
    stopping=st.booleans(),
    impatient=st.booleans(),
    may_land=st.booleans(),
    land_only=st.booleans(),
)


@given(SITUATIONS)
def test_a_night_starts_only_when_everything_allows_it(at: Situation) -> None:
    """Inside the window and before its last start, with work, without another night, and not while stopping."""
    match decide_next(at):
        case Start(last_start, ends_at, _, land_only):
            assert land_only == at.land_only
            assert at.running is None
            assert not at.stopping
            assert at.work
            if at.span is None:
                assert last_start is ends_at is None
            else:
                assert at.now in at.span
                assert last_start is not None
                assert at.now < last_start <= at.span.closes_at == ends_at
        case Look():
            assert at.running is None
            assert at.work is None
        case Leave():
            assert at.stopping
            assert at.running is None
        case Press():
            assert at.running is not None


@given(SITUATIONS)
def test_landing_is_started_in_the_merge_window_alone_and_nothing_else_in_its_own(at: Situation) -> None:
    """What only waits to land starts no night while the merge window is closed, nor other work one for landing."""
    if isinstance(decide_next(at), Start):
        assert at.work is not None
        other = at.work.tasks or at.work.unread or at.work.open_night
        assert other or at.may_land
        assert at.work.to_land or not at.land_only


@given(SITUATIONS)
def test_it_leaves_when_told_to_and_nothing_runs(at: Situation) -> None:
    """Neither work nor a window keeps a daemon that was told to stop."""
    if at.stopping and at.running is None:
        assert decide_next(at) == Leave()


@given(SITUATIONS, RUNNING)
def test_pressure_only_rises_and_comes_to_an_end(at: Situation, running: Running) -> None:
    """Asked, cancelled, killed, in this order; and a night that has to end is told so without delay."""
    at = replace(at, running=running)
    action = decide_next(at)
    if isinstance(action, Press):
        assert action.urgency == running.told + 1
    over = at.stopping or (running.ends_at is not None and at.now >= running.ends_at)
    if over and running.told is Urgency.NONE:
        assert isinstance(action, Press)
    waited = running.told_s > at.patience.drain_s + at.patience.cancel_s
    if over and waited and running.told is not Urgency.KILLED:
        assert isinstance(action, Press)


@given(SITUATIONS)
def test_waiting_for_an_instant_is_waiting_for_one_that_changes_the_decision(at: Situation) -> None:
    """No wait names an instant that has passed."""
    assume(at.span is None or at.span.closes_at > at.now)
    action = decide_next(at)
    if isinstance(action, Wait) and action.until is not None and at.running is None:
        assert action.until > at.now


@given(st.integers(-15, 140), WORK, WORK, st.none() | RESTS, st.none() | SPANS, st.booleans(), st.booleans())
def test_a_night_is_never_repeated_in_a_hot_loop(
    code: int, work: Work, found: Work, before: Rest | None, span: Span | None, asked: bool, land_only: bool
) -> None:
    """After any end, what is started next either is other work, or had to wait a minute."""
    rest = judge_end(code, work, found=found, before=before, now=NOW, span=span, asked=asked)
    if rest is None:
        assert asked or not work or (span and NOW not in span) or (code in (0, 1, 5, 6) and work != found)
        return
    if rest.until is not None:
        assert timedelta(seconds=60) <= rest.until - NOW <= timedelta(hours=1)
    at = Situation(now=NOW + timedelta(seconds=30), span=span, work=work, rest=rest, land_only=land_only)
    if span is None or at.now in span:
        assert not isinstance(decide_next(at), Start)


def test_crashes_in_a_row_wait_longer_and_a_new_window_starts_over() -> None:
    """One minute, two, four; in the next window the first pause again."""
    work, tonight = Work(open_night="n1"), Span(NOW, NOW + timedelta(hours=8))
    rest, pauses = None, []
    for _ in range(8):
        rest = judge_end(-9, work, found=work, before=rest, now=NOW, span=tonight, asked=False)
        assert rest is not None
        assert rest.until is not None
        pauses.append((rest.until - NOW).total_seconds())
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    later = NOW + timedelta(days=1)
    tomorrow = Span(later, later + timedelta(hours=8))
    again = judge_end(4, work, found=work, before=rest, now=later, span=tomorrow, asked=False)
    assert again is not None
    assert again.failures == 1


def test_a_refusal_is_mended_by_a_change_and_a_crash_is_not() -> None:
    """Another file may mend a refusal; a crash waits for its time, an operator's order for his word."""
    work = Work(tasks=1)
    refused = judge_end(3, work, found=work, before=None, now=NOW, span=None, asked=False)
    crashed = judge_end(-11, work, found=work, before=None, now=NOW, span=None, asked=False)
    drained = Work(open_night="n1", told_to_wait=True)
    stopped = judge_end(130, drained, found=work, before=None, now=NOW, span=None, asked=False)
    assert after_change(refused, work) is None
    assert after_change(crashed, work) == crashed
    assert after_change(stopped, drained) == stopped
    assert after_change(stopped, replace(drained, told_to_wait=False)) is None


def test_a_drained_night_waits_for_the_next_window_also_after_a_restart() -> None:
    """A daemon that finds a night which somebody drained does not start it in the same breath, but the next evening."""
    drained = Work(open_night="n1", told_to_wait=True)
    tonight = Span(NOW, NOW + timedelta(hours=8))
    rest = wait_for_operator(None, drained, now=NOW, span=tonight)
    assert isinstance(decide_next(Situation(now=NOW, span=tonight, work=drained, rest=rest)), Wait)
    later = NOW + timedelta(days=1)
    tomorrow = Span(later, later + timedelta(hours=8))
    assert isinstance(decide_next(Situation(now=later, span=tomorrow, work=drained, rest=rest)), Start)


def test_what_is_noticed_by_day_does_not_bind_the_night() -> None:
    """A night that ends, or a drain that is seen, after the window has closed lets the next window begin afresh."""
    drained, tomorrow = (
        Work(open_night="n1", told_to_wait=True),
        Span(NOW + timedelta(hours=9), NOW + timedelta(days=1)),
    )
    assert wait_for_operator(None, drained, now=NOW, span=tomorrow) is None
    assert judge_end(3, drained, found=Work(), before=None, now=NOW, span=tomorrow, asked=False) is None


@given(SPANS, NEAR, NEAR)
def test_a_window_is_missed_when_it_passed_unseen(last: Span, seen: datetime, now: datetime) -> None:
    """Only one that had ended, and that began after the daemon was last seen."""
    missed = find_missed(last, seen, now)
    assert (missed is not None) == (seen < last.opens_at and last.closes_at <= now)
    assert find_missed(last, None, now) is None


@given(SPANS, SPANS, NEAR)
def test_catching_up_takes_no_longer_than_the_window_and_ends_before_the_next(
    missed: Span, following: Span, now: datetime
) -> None:
    """By day at most as long as by night."""
    span = catch_up_span(missed, following, now)
    if span is not None:
        assert now in span
        assert span.closes_at <= following.opens_at
        assert span.closes_at - now <= missed.closes_at - missed.opens_at


def test_a_missed_window_is_told_with_its_reason() -> None:
    """What was missed, since when nothing ran, what waits, and why it is left."""
    span = Span(NOW, NOW + timedelta(hours=8))
    seen = NOW - timedelta(hours=2)
    left = explain_missed(span, seen, Work(tasks=3), catch_up=False)
    assert left == (
        "missed the window 2026-11-21 23:00-07:00 UTC: not running from 2026-11-21 21:00 UTC on; 3 tasks wait; "
        "left for the next window, because catch_up = false in policies/night.toml"
    )
    assert "caught up now" in explain_missed(span, seen, Work(unread=1), catch_up=True)
    assert explain_missed(span, seen, Work(), catch_up=True).endswith("nothing waited")
