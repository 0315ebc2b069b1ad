"""When the window opened that a timer's night keeps: what nights have left since then is the next window's."""

from datetime import UTC, datetime

import pytest

from pantheon.core.policy import NightPolicy
from pantheon.core.window import WindowPolicy
from pantheon.shell.window_wiring import opened_at

WINDOW = WindowPolicy.model_validate({"start": "22:00", "end": "06:00", "time_zone": "Europe/Berlin"})
OPENED = datetime(2026, 11, 20, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "opened"),
    [
        (datetime(2026, 11, 20, 21, tzinfo=UTC), OPENED),
        (datetime(2026, 11, 21, 4, 59, tzinfo=UTC), OPENED),
        (datetime(2026, 11, 21, 12, tzinfo=UTC), None),
    ],
    ids=["at once", "on the next morning", "by day"],
)
def test_an_open_window_says_when_it_opened(now: datetime, opened: datetime | None) -> None:
    """One that is not open says nothing."""
    assert opened_at(NightPolicy(window=WINDOW), now) == opened


def test_without_a_window_nothing_is_left_out() -> None:
    """Whoever says ``--window`` then is asked for no window."""
    assert opened_at(NightPolicy(), OPENED) is None
