"""Laws of the night's window, over time zones that put their clocks forward and back."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pantheon.core.window import (
    Day,
    LandingHours,
    MergeWindowPolicy,
    WindowPolicy,
    current_or_next,
    first_instant,
    last_closed,
)

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
ZONES = st.sampled_from(
    [ZoneInfo("UTC"), BERLIN, NEW_YORK, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Asia/Kathmandu")]
)
TIMES = st.times().map(lambda value: value.replace(second=0, microsecond=0))
# Near the changes of summer time in both zones, on every second draw.
NEAR = st.sampled_from([datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC),
                        datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)])  # fmt: skip
INSTANTS = st.one_of(
    st.integers(1_704_000_000, 1_900_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    st.builds(
        lambda near, minutes: near + timedelta(minutes=minutes), NEAR, st.integers(-2 * 1440, 2 * 1440)
    ),
)
POLICIES = st.builds(
    WindowPolicy,
    days=st.frozensets(st.sampled_from(Day), min_size=1),
    start=TIMES,
    end=TIMES,
    last_start_s=st.just(0),
)


def shown(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


@given(INSTANTS, TIMES, ZONES)
def test_first_instant_is_the_first_at_which_the_clock_shows_it(
    now: datetime, of_day: time, zone: ZoneInfo
) -> None:
    """At the instant the clock shows the time or later; a second before, it did not yet."""
    day = now.date()
    found = first_instant(day, of_day, zone)
    wanted = datetime.combine(day, of_day.replace(fold=0))
    assert shown(found, zone) >= wanted
    assert all(shown(found - timedelta(seconds=s), zone) < wanted for s in (1, 600, 1799, 3600, 7200))


@given(POLICIES, ZONES, INSTANTS)
def test_the_span_is_open_now_or_nothing_opens_before_it(
    policy: WindowPolicy, zone: ZoneInfo, now: datetime
) -> None:
    """No instant between now and the opening belongs to a window."""
    span = current_or_next(policy, zone, now)
    assert now < span.closes_at
    assert span.opens_at < span.closes_at
    if now not in span:
        assert current_or_next(policy, zone, span.opens_at - timedelta(seconds=1)) == span
    assert current_or_next(policy, zone, span.opens_at) == span


@given(POLICIES, ZONES, INSTANTS)
def test_spans_follow_each_other_without_overlap(policy: WindowPolicy, zone: ZoneInfo, now: datetime) -> None:
    """The next span opens when this one has ended, never before, and the one before had ended."""
    span = current_or_next(policy, zone, now)
    following = current_or_next(policy, zone, span.closes_at)
    assert following.opens_at >= span.closes_at
    assert last_closed(policy, zone, following.closes_at - timedelta(seconds=1)) == span
    before = last_closed(policy, zone, now)
    assert before is None or before.closes_at <= min(now, span.opens_at)


@given(POLICIES, ZONES, INSTANTS)
def test_it_opens_on_the_days_named_and_lasts_a_day_at_most(
    policy: WindowPolicy, zone: ZoneInfo, now: datetime
) -> None:
    """A window over midnight belongs to the evening it began on."""
    span = current_or_next(policy, zone, now)
    opened = shown(span.opens_at, zone)
    assert list(Day)[opened.weekday()] in policy.days
    assert span.closes_at - span.opens_at <= timedelta(hours=26)


def policy(start: str, end: str, **more: object) -> WindowPolicy:
    return WindowPolicy.model_validate({"start": start, "end": end, **more})


@pytest.mark.parametrize(
    ("zone", "evening", "hours"),
    [
        (BERLIN, date(2026, 3, 28), 7),  # the clock goes forward
        (BERLIN, date(2026, 10, 24), 9),  # and back
        (NEW_YORK, date(2026, 3, 7), 7),
        (NEW_YORK, date(2026, 10, 31), 9),
        (BERLIN, date(2026, 6, 1), 8),
    ],
)
def test_a_night_over_a_change_of_summer_time_is_an_hour_shorter_or_longer(
    zone: ZoneInfo, evening: date, hours: int
) -> None:
    """22:00 to 06:00 as the clock says, not eight hours."""
    now = datetime.combine(evening, time(23), zone)
    span = current_or_next(policy("22:00", "06:00"), zone, now)
    assert (span.closes_at - span.opens_at) == timedelta(hours=hours)


def test_a_start_that_the_clock_jumps_over_opens_at_the_jump() -> None:
    """02:30 does not exist in Berlin on 29 March 2026; 03:00 summer time, 01:00 UTC, is what follows 01:59."""
    span = current_or_next(policy("02:30", "05:00"), BERLIN, datetime(2026, 3, 29, tzinfo=UTC))
    assert span.opens_at == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_a_window_that_the_jump_swallows_does_not_open_that_day() -> None:
    """02:10 to 02:50 does not exist in New York on 8 March 2026; the next one is a day later."""
    span = current_or_next(policy("02:10", "02:50"), NEW_YORK, datetime(2026, 3, 8, tzinfo=UTC))
    assert span.opens_at == datetime(2026, 3, 9, 2, 10, tzinfo=NEW_YORK)


def test_an_end_that_the_clock_shows_twice_is_the_first_one() -> None:
    """02:30 comes twice in Berlin on 25 October 2026: the window ends at the first, 00:30 UTC."""
    span = current_or_next(policy("22:00", "02:30"), BERLIN, datetime(2026, 10, 24, 21, tzinfo=UTC))
    assert span.closes_at == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": "22:00:30"},
        {"end": "22:00+01:00"},
        {"days": []},
        {"days": ["someday"]},
        {"time_zone": "../../etc/passwd"},
        {"time_zone": ""},
        {"last_start_s": -1},
    ],
)
def test_a_wrong_window_is_refused(wrong: dict[str, object]) -> None:
    """Nothing is rounded, and no time zone is a path."""
    with pytest.raises(ValidationError):
        WindowPolicy.model_validate(wrong)


HOURS = st.builds(
    MergeWindowPolicy, days=st.frozensets(st.sampled_from(Day), min_size=1), start=TIMES, end=TIMES
)


@given(HOURS, ZONES, INSTANTS)
def test_merges_may_start_exactly_within_the_merge_window(
    policy: MergeWindowPolicy, zone: ZoneInfo, now: datetime
) -> None:
    """Open from the first to the last instant of a span, in any zone and over any change of clocks, and not before."""
    hours = LandingHours(policy, zone)
    span = hours.span(now)
    assert hours.are_open(now) == (span.opens_at <= now < span.closes_at)
    assert hours.are_open(span.opens_at)
    assert hours.are_open(span.closes_at - timedelta(seconds=1))
    if not hours.are_open(now):
        assert not hours.are_open(now + (span.opens_at - now) / 2)


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 1), (date(2026, 10, 25), 3), (date(2026, 6, 1), 2)]
)
def test_a_merge_window_over_a_change_of_summer_time_is_as_long_as_the_clock_says(
    day: date, hours: int
) -> None:
    """From 01:30 to 03:30 by the clock: an hour less in March, an hour more in October."""
    merges = LandingHours(MergeWindowPolicy(start=time(1, 30), end=time(3, 30)), BERLIN)
    span = merges.span(datetime.combine(day, time(0), BERLIN))
    assert span.closes_at - span.opens_at == timedelta(hours=hours)
