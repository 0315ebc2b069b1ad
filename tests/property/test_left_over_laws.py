"""When the daemon takes up what nights have left: never in their own window, always in the next."""

from datetime import UTC, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from pantheon.core.daemon import Situation, Start, Wait, Work, decide_next
from pantheon.core.left_over import NIGHTS_APART, Left
from pantheon.core.window import Span

OPENS = datetime(2026, 11, 20, 21, tzinfo=UTC)
WINDOW = Span(OPENS, OPENS + timedelta(hours=8))
MINUTES = st.integers(0, 8 * 60 - 1).map(lambda minutes: timedelta(minutes=minutes))
COUNTS = st.integers(1, 5)


def later(days: int) -> Span:
    """Return the window some days later."""
    apart = timedelta(days=days)
    return Span(WINDOW.opens_at + apart, WINDOW.closes_at + apart)


@given(MINUTES, MINUTES, COUNTS)
def test_in_its_own_window_nothing_is_started_for_it(began: timedelta, after: timedelta, tasks: int) -> None:
    """However long it is still open; the daemon says what waits."""
    now = OPENS + began + after
    assume(now in WINDOW)
    work = Work(left=(Left(OPENS + began, tasks),))
    said = decide_next(Situation(now=now, span=WINDOW, work=work))
    assert isinstance(said, Wait)
    assert "for the next window" in said.status


@given(MINUTES, MINUTES, COUNTS, st.integers(1, 9))
def test_in_a_later_window_it_is_work(began: timedelta, after: timedelta, tasks: int, days: int) -> None:
    """A night is started, and told to leave what is left in its own window."""
    span = later(days)
    work = Work(left=(Left(OPENS + began, tasks),))
    said = decide_next(Situation(now=span.opens_at + after, span=span, work=work))
    assert isinstance(said, Start)
    assert said.left_before == span.opens_at
    assert f"{tasks} task" in said.why


@given(MINUTES, MINUTES, COUNTS)
def test_other_work_takes_none_of_it_along(began: timedelta, after: timedelta, tasks: int) -> None:
    """A batch that comes in the same window is worked, and what was left is not."""
    now = OPENS + began + after
    assume(now in WINDOW)
    work = Work(tasks=1, left=(Left(OPENS + began, tasks),))
    said = decide_next(Situation(now=now, span=WINDOW, work=work))
    assert isinstance(said, Start)
    assert said.left_before is not None
    assert said.left_before <= OPENS + began


@given(st.timedeltas(timedelta(0), timedelta(days=3)), COUNTS)
def test_without_a_window_a_day_goes_by(passed: timedelta, tasks: int) -> None:
    """From the beginning of the night that left it."""
    work = Work(left=(Left(OPENS, tasks),))
    said = decide_next(Situation(now=OPENS + passed, span=None, work=work))
    assert isinstance(said, Start) == (passed > NIGHTS_APART)
    if isinstance(said, Wait):
        assert said.status.endswith("until a day after that night began")


@given(st.lists(st.tuples(st.integers(-9, 9), COUNTS), max_size=5), st.integers(-9, 9))
def test_what_is_due_and_what_is_not_is_all(left: list[tuple[int, int]], before: int) -> None:
    """No task is lost or counted twice."""
    whole = Work(tasks=2, left=tuple(Left(OPENS + timedelta(hours=at), count) for at, count in left))
    split = whole.due(OPENS + timedelta(hours=before))
    assert split.tasks + sum(one.tasks for one in split.left) == 2 + sum(count for _, count in left)
    assert all(one.began >= OPENS + timedelta(hours=before) for one in split.left)
