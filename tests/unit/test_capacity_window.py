"""Which hours a queue has, on the clocks of several nights, and how the sentence says it."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from pantheon.core.capacity_figures import Experience, Outlook, Waiting
from pantheon.core.capacity_outlook import foresee
from pantheon.core.capacity_say import say_need, say_span
from pantheon.core.capacity_window import Part, Tonight, find_tonight
from pantheon.core.flow import Flow
from pantheon.core.window import Day, WindowPolicy

NIGHT = WindowPolicy(start=time(0), end=time(6))
BUDGET = 28_800.0
FLOW = Flow.model_validate(
    {
        "name": "docs",
        "accepts": ["docs"],
        "node": [{"id": "write", "agent": "writer", "writes": True, "resources": {"model": 1}}],
    }
)


def at(hour: int, minute: int = 0, day: int = 18) -> datetime:
    """A Wednesday in November, in UTC."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def hours(tonight: Tonight) -> tuple[Part, float, float]:
    """What it is, until its end, and how long work may start."""
    return tonight.part, tonight.length_s / 3600, tonight.starting_s / 3600


def outlook(tonight: Tonight, tasks: int, task_s: float = 600) -> Outlook:
    """The outlook on tasks of ten minutes on one slot."""
    known = Experience(nights=1, durations={"writer": (task_s,) * 50})
    return foresee(
        [Waiting(f"b/t{n}", FLOW) for n in range(tasks)], known, slots={"model": 1}, tonight=tonight
    )


def test_within_the_window_it_is_what_is_left() -> None:
    """At 03:10 of 00:00 to 06:00 there are 2 h 50 min, and work may start in all but the last quarter of an hour."""
    found = find_tonight(NIGHT, UTC, at(3, 10), BUDGET)
    assert hours(found) == (Part.LEFT, pytest.approx(17 / 6), pytest.approx(17 / 6 - 0.25))
    assert (found.opens_at, found.closes_at) == (at(0), at(6))
    assert found.later_s == 5.75 * 3600
    said = outlook(found, 12).sentence
    assert said.startswith(
        "tonight's queue needs 2 h of the 2 h 50 min that are left of tonight's window; rho "
    )


def test_outside_the_window_it_is_the_whole_next_one() -> None:
    """At noon the queue has the whole window that opens at midnight, and the sentence says when that is."""
    found = find_tonight(NIGHT, UTC, at(12), BUDGET)
    assert hours(found) == (Part.NEXT, 6.0, 5.75)
    assert found.opens_at == at(0, day=19)
    assert "needs 2 h of the 6 h window that opens Thu 00:00; rho 0.35" in outlook(found, 12).sentence


@pytest.mark.parametrize(
    ("minute", "part", "length"), [(44, Part.LEFT, 16 / 60), (45, Part.NEXT, 6.0), (59, Part.NEXT, 6.0)]
)
def test_too_late_to_start_anything_is_the_next_window(minute: int, part: Part, length: float) -> None:
    """From ``last_start_s`` before the end on, tonight's window is over for what waits."""
    found = find_tonight(NIGHT, UTC, at(5, minute), BUDGET)
    assert (found.part, found.length_s / 3600) == (part, pytest.approx(length))


def test_the_edges_of_a_window() -> None:
    """It is open at its first instant, and at its last one the next window counts."""
    assert hours(find_tonight(NIGHT, UTC, at(0), BUDGET)) == (Part.LEFT, 6.0, 5.75)
    assert find_tonight(NIGHT, UTC, at(6), BUDGET).opens_at == at(0, day=19)


def test_the_budget_is_a_limit_of_its_own() -> None:
    """A night starts nothing beyond its budget, however long the window, tonight and later."""
    found = find_tonight(NIGHT, UTC, at(12), 3600.0)
    assert hours(found) == (Part.NEXT, 1.0, 1.0)
    assert found.later_s == 3600


def test_without_a_window_it_is_the_budget() -> None:
    """A policy without a window leaves what a night may take, and the sentence says so."""
    found = find_tonight(None, UTC, at(12), BUDGET)
    assert hours(found) == (Part.ALWAYS, 8.0, 8.0)
    assert (found.opens_at, found.closes_at) == (None, None)
    assert "needs 2 h of the 8 h that a night may take; rho 0.25" in outlook(found, 12).sentence


def test_the_hour_that_is_lost_in_spring_is_not_there() -> None:
    """In Berlin the night to 29 March 2026 is an hour shorter, and times are said in the window's zone."""
    berlin = ZoneInfo("Europe/Berlin")
    found = find_tonight(WindowPolicy(), berlin, datetime(2026, 3, 28, 12, tzinfo=UTC), 86_400)
    assert found.length_s == 7 * 3600
    assert f"{found.opens_at:%H:%M}" == "22:00"
    assert found.later_s == 7.75 * 3600


def test_a_window_in_which_nothing_would_start_is_an_error() -> None:
    """A window no longer than ``last_start_s`` is named, in place of an endless queue, also where nobody checked it."""
    days = frozenset(Day)
    short = WindowPolicy.model_construct(
        days=days, start=time(3), end=time(3, 10), time_zone="UTC", last_start_s=900
    )
    for now in (at(1), at(3, 5)):
        with pytest.raises(ValueError, match=r"last 900 s of a window .* none is longer"):
            find_tonight(short, UTC, now, BUDGET)


def test_a_night_that_a_jump_of_the_clock_leaves_too_short_is_passed_over() -> None:
    """01:50 to 03:05 in Berlin is 15 min long on 29 March 2026: nothing starts in it, so the night after counts."""
    berlin = ZoneInfo("Europe/Berlin")
    policy = WindowPolicy(start=time(1, 50), end=time(3, 5))
    found = find_tonight(policy, berlin, datetime(2026, 3, 28, 12, tzinfo=UTC), BUDGET)
    assert f"{found.opens_at:%d %H:%M}" == "30 01:50"
    assert (found.part, found.length_s, found.starting_s) == (Part.NEXT, 4500, 3600)


def test_days_without_a_window_are_waited_for() -> None:
    """Where only Saturday has one, a Wednesday's queue has that, and later nights are as long."""
    found = find_tonight(WindowPolicy(days=frozenset({Day.SAT})), UTC, at(12), BUDGET)
    assert found.opens_at == at(22, day=21)
    assert found.opens_at - at(12) > timedelta(days=3)
    assert found.later_s == 7.75 * 3600


def test_a_queue_too_long_says_how_many_nights_and_what_is_left() -> None:
    """60 tasks of ten minutes at 03:10: 15 are done in 2 h 35 min, and the rest takes two nights of 5 h 45 min."""
    found = outlook(find_tonight(NIGHT, UTC, at(3, 10), BUDGET), 60)
    assert (found.nights_needed, found.not_reached) == (3, 45)
    assert found.sentence == (
        "tonight's queue needs 10 h of the 2 h 50 min that are left of tonight's window; rho 3.87 for model; "
        "it will not be finished: about 45 of 60 tasks are not reached and all of it takes 3 nights "
        "(nothing starts in the last 15 min)"
    )


def test_what_fits_only_into_the_last_quarter_of_an_hour_does_not_fit() -> None:
    """17 tasks need the 2 h 50 min to the minute, and the last of them would not be started."""
    found = outlook(find_tonight(NIGHT, UTC, at(3, 10), BUDGET), 17)
    assert found.window_h == pytest.approx(found.needed_h)
    assert "it will not be finished: about 2 of 17 tasks are not reached" in found.sentence
    assert (found.nights_needed, found.resources[0].queue.load > 1) == (2, True)


def test_what_fits_takes_one_night_and_nothing_none() -> None:
    """A queue that is finished takes tonight; an empty one no night."""
    tonight = find_tonight(NIGHT, UTC, at(12), BUDGET)
    assert (outlook(tonight, 12).nights_needed, outlook(tonight, 12).not_reached) == (1, 0)
    assert (outlook(tonight, 0).nights_needed, outlook(tonight, 0).not_reached) == (0, 0)


@pytest.mark.parametrize(
    ("value", "span", "need"),
    [
        (8.0, "8 h", "8 h"),
        (17 / 6, "2 h 50 min", "2.8 h"),
        (5.2, "5 h 12 min", "5.2 h"),
        (0.25, "15 min", "15 min"),
        (0.0031, "11 s", "11 s"),
        (0.0, "0 s", "0 s"),
        (1.0, "1 h", "1 h"),
        (150.4, "150 h 24 min", "150 h"),
        (59.7 / 60, "1 h", "1 h"),
    ],
)
def test_hours_are_said_as_a_person_would(value: float, span: str, need: str) -> None:
    """Seconds, minutes or hours, whichever says something; never an exponent."""
    assert (say_span(value), say_need(value)) == (span, need)
