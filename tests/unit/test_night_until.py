"""What ``pantheon night --until`` means: a time of day that comes, or the very instant that the daemon names."""

from datetime import UTC, datetime, timedelta

import click
import pytest

from pantheon.shell.cli.night import command
from pantheon.shell.cli.night_work import end_of_window

UNTIL = next(option for option in command.params if option.name == "until")


def parsed(text: str) -> datetime:
    """Return what the command line makes of a value."""
    found = UNTIL.type.convert(text, UNTIL, None)
    assert isinstance(found, datetime)
    return found


def test_an_instant_is_itself_also_when_it_has_passed() -> None:
    """A last start that went by while the process started must not become tomorrow's."""
    now = datetime(2026, 11, 22, 4, 45, 2, tzinfo=UTC)
    until = parsed("2026-11-22T05:45:00+01:00")
    assert until == datetime(2026, 11, 22, 4, 45, tzinfo=UTC)
    assert end_of_window(now, until) == until < now


def test_a_time_of_day_is_always_to_come() -> None:
    """The same words without a date mean the next time the clock shows it."""
    now = datetime(2026, 11, 22, 4, 45, 2, tzinfo=UTC)
    found = end_of_window(now, parsed("05:45"))
    assert now < found <= now + timedelta(days=1)
    assert (found.astimezone().hour, found.astimezone().minute) == (5, 45)


@pytest.mark.parametrize("wrong", ["2026-11-22T05:45:00", "2026-11-22", "25:00", "05:45+01:00", ""])
def test_an_instant_without_an_offset_is_refused(wrong: str) -> None:
    """Nothing is guessed about whose clock is meant."""
    with pytest.raises(click.UsageError):
        parsed(wrong)
