"""What a window is used for besides opening: how long before its end a night may begin, and when a timer goes off."""

from datetime import UTC, datetime

import pytest

from pantheon.core.errors import ConfigError, PreflightError
from pantheon.core.policy import NightPolicy, load_policy
from pantheon.shell.window_wiring import Bounds, bounds_at, calendar_of

BERLIN = 'time_zone = "Europe/Berlin"\n'


def policy(window: str, merge_window: str = "") -> NightPolicy:
    text = f"[window]\n{window}"
    if merge_window:
        text += f"[merge_window]\n{merge_window}"
    return load_policy(NightPolicy, "night.toml", text.encode())


@pytest.mark.parametrize(
    ("window", "length_s"),
    [
        ('start = "01:00"\nend = "01:15"\n', 900),
        ('start = "23:55"\nend = "00:05"\nlast_start_s = 600\n', 600),
        ('start = "12:00"\nend = "22:00"\nlast_start_s = 40000\n', 36_000),
    ],
)
def test_a_window_in_which_nothing_could_start_is_refused(window: str, length_s: int) -> None:
    """Also with the default of 900 s: file, key and both numbers, and what to do."""
    with pytest.raises(ConfigError) as refused:
        policy(window)
    assert "policies/night.toml: window.last_start_s: is " in str(refused.value)
    assert f"the window is {length_s} s long" in str(refused.value)
    assert f"say less than {length_s}, or have it open for longer" in str(refused.value)


@pytest.mark.parametrize(
    "window",
    [
        'start = "01:00"\nend = "01:16"\n',
        'start = "01:00"\nend = "01:15"\nlast_start_s = 0\n',
        'start = "00:00"\nend = "00:00"\nlast_start_s = 43200\n',
    ],
)
def test_a_window_with_a_minute_to_start_in_is_one(window: str) -> None:
    """The same hour twice is a whole day."""
    assert policy(window).window is not None


NIGHT = policy('start = "22:00"\nend = "06:00"\n' + BERLIN)


@pytest.mark.parametrize("hour", [21, 23, 4])
def test_a_night_of_a_timer_keeps_the_window(hour: int) -> None:
    """From 22:00 to 05:45 in Berlin it starts things, and it is to be finished by 06:00."""
    bounds = bounds_at(NIGHT, datetime(2026, 11, 20 + (hour < 12), hour, tzinfo=UTC))
    last_start, end = datetime(2026, 11, 21, 4, 45, tzinfo=UTC), datetime(2026, 11, 21, 5, tzinfo=UTC)
    assert bounds == Bounds(last_start, end, ends=True)


@pytest.mark.parametrize(
    ("hour", "minute", "why"),
    [
        (12, 0, "the window opens 2026-11-20 22:00 CET"),
        (4, 50, "nothing new starts after 05:45 CET, 900 s before"),
    ],
)
def test_outside_of_the_window_a_timer_s_night_says_so(hour: int, minute: int, why: str) -> None:
    """A timer that a sleeping machine fires by day, or one from before the window was changed, starts nothing."""
    with pytest.raises(PreflightError) as refused:
        bounds_at(NIGHT, datetime(2026, 11, 20, hour, minute, tzinfo=UTC))
    assert why in refused.value.message
    assert "OnCalendar=*-*-* 22:00:00 Europe/Berlin" in refused.value.hint


def test_in_the_merge_window_alone_it_only_lands() -> None:
    """Until that window ends."""
    both = policy('start = "22:00"\nend = "04:00"\n' + BERLIN, 'start = "05:00"\nend = "06:00"\n' + BERLIN)
    bounds = bounds_at(both, datetime(2026, 11, 21, 4, 30, tzinfo=UTC))
    end = datetime(2026, 11, 21, 5, tzinfo=UTC)
    assert bounds == Bounds(end, end, land_only=True, ends=True)
    assert bounds_at(NightPolicy(), end) == Bounds(), "no window, no end"


def test_a_timer_goes_off_when_the_windows_open() -> None:
    """Days, time and zone as the policy has them; the merge window too; without a window the shipped time stays."""
    assert calendar_of(NIGHT) == ("*-*-* 22:00:00 Europe/Berlin",)
    assert calendar_of(policy('start = "23:30"\nend = "06:00"\ndays = ["fri", "mon"]\n')) == (
        "Mon,Fri *-*-* 23:30:00",
    )
    both = policy('start = "22:00"\nend = "04:00"\n', 'start = "05:00"\nend = "06:00"\n' + BERLIN)
    assert calendar_of(both) == ("*-*-* 22:00:00", "*-*-* 05:00:00 Europe/Berlin")
    assert calendar_of(NightPolicy()) == ()
