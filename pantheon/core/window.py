"""The windows of nights and of merges: which instants belong to one, given a policy, a time zone and the time.

A time of day becomes the first instant at which the clock on the wall shows that time or a later one. So where
the clock is put forward over it, the window opens (or ends) at the jump; where the clock shows it twice, the
first time counts. That rule is monotone: a window never ends before it opens, and two windows never overlap.

Invariants:
- spans are in UTC, and ``opens_at < closes_at``; a window that a jump swallows whole does not exist;
- a span belongs to the local date on which it opens, also when it ends on the next one.

Source: DESIGN.md, section 5 ("A policy").
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import Annotated

from pydantic import Field, PlainSerializer, StringConstraints, ValidationInfo, field_validator

from pantheon.core.model import Frozen

LOCAL = "local"
"""Stands for the machine's own time zone."""
FULL_CIRCLE_DAYS = 16
"""Days to look through: two weeks, for a weekly window that a jump swallows once, and the days at both ends."""


class Day(StrEnum):
    """A day of the week."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


_WEEK = tuple(Day)
OfDay = Annotated[time, PlainSerializer(lambda value: value.strftime("%H:%M"), return_type=str)]


class Hours(Frozen):
    """Hours of the day on days of the week, in a time zone."""

    days: frozenset[Day] = Field(default=frozenset(Day), min_length=1)
    """The days on which it opens."""
    start: OfDay = time(22)
    """When it opens, as the clock on the wall says it."""
    end: OfDay = time(6)
    """When it ends; not later than the start means on the next day."""
    time_zone: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}$")
    ] = LOCAL
    """Name from the IANA database (``Europe/Berlin``), or ``local``."""

    @field_validator("start", "end")
    @classmethod
    def _to_the_minute(cls, value: time) -> time:
        if value.tzinfo is not None or value.second or value.microsecond:
            raise ValueError("say HH:MM")
        return value


class WindowPolicy(Hours):
    """``[window]`` of ``policies/night.toml``: when the daemon may run nights. Absent: always."""

    last_start_s: int = Field(default=900, ge=0, le=43_200, validate_default=True)
    """Seconds before the end at which nothing new starts, so that what runs can be finished inside the window."""
    catch_up: bool = False
    """Whether work that a missed window left is taken up outside it."""

    @field_validator("last_start_s")
    @classmethod
    def _inside(cls, value: int, known: ValidationInfo) -> int:
        if (
            "start" in known.data
            and "end" in known.data
            and value >= _length_s(known.data["start"], known.data["end"])
        ):
            length_s = _length_s(known.data["start"], known.data["end"])
            raise ValueError(
                f"is {value} s, and the window is {length_s} s long, so that no night would ever start; say less than "
                f"{length_s}, or have it open for longer"
            )
        return value


class MergeWindowPolicy(Hours):
    """``[merge_window]`` of ``policies/night.toml``: when what was allowed may land. Absent: whenever a night runs."""

    start: OfDay = time(5)
    """When it opens, as the clock on the wall says it."""


@dataclass(frozen=True)
class Span:
    """One opening of the window."""

    opens_at: datetime
    """UTC; belongs to the window."""
    closes_at: datetime
    """UTC; does not belong to it."""

    def __contains__(self, instant: datetime) -> bool:
        return self.opens_at <= instant < self.closes_at


@dataclass(frozen=True)
class LandingHours:
    """When merges may start."""

    policy: Hours
    zone: tzinfo

    def are_open(self, now: datetime) -> bool:
        """Tell whether a merge may start at ``now``, which is aware."""
        return now in self.span(now)

    def span(self, now: datetime) -> Span:
        """Return the merge window that is open at ``now``, else the next one. Raises ``ValueError`` for none."""
        return current_or_next(self.policy, self.zone, now)


def first_instant(day: date, of_day: time, zone: tzinfo) -> datetime:
    """Return the first instant, in UTC, at which clocks in ``zone`` show ``of_day`` of ``day`` or later."""
    wanted = datetime.combine(day, of_day.replace(fold=0))
    found = wanted.replace(tzinfo=zone).astimezone(UTC)
    if _shown(found, zone) == wanted:
        return found
    # The clock never shows it. With the offset after the jump it lies before the jump, and the other way round.
    before = wanted.replace(tzinfo=zone, fold=1).astimezone(UTC)
    while found - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(found - before) // timedelta(seconds=2))
        if _shown(middle, zone) >= wanted:
            found = middle
        else:
            before = middle
    return found


def current_or_next(policy: Hours, zone: tzinfo, now: datetime) -> Span:
    """Return the span that is open at ``now``, else the next one.

    Args:
        policy: the window.
        zone: what ``policy.time_zone`` names.
        now: aware.

    Raises:
        ValueError: the zone knows no such time in the next two weeks.
    """
    found = next((span for span in _spans(policy, zone, now) if span.closes_at > now), None)
    if found is None:
        raise ValueError("the window never opens in this time zone")
    return found


def last_closed(policy: Hours, zone: tzinfo, now: datetime) -> Span | None:
    """Return the newest span that had ended by ``now``; None when there was none in the last two weeks."""
    before = _spans(policy, zone, now - timedelta(days=FULL_CIRCLE_DAYS))
    return max(
        (span for span in before if span.closes_at <= now), key=lambda span: span.closes_at, default=None
    )


def _spans(policy: Hours, zone: tzinfo, around: datetime) -> Iterator[Span]:
    """Yield the spans from two days before ``around`` on, in order of time."""
    first = around.astimezone(zone).date() - timedelta(days=2)
    over_midnight = timedelta(days=1 if policy.end <= policy.start else 0)
    for day in (first + timedelta(days=number) for number in range(FULL_CIRCLE_DAYS + 3)):
        if _WEEK[day.weekday()] not in policy.days:
            continue
        opens_at = first_instant(day, policy.start, zone)
        closes_at = first_instant(day + over_midnight, policy.end, zone)
        if opens_at < closes_at:
            yield Span(opens_at, closes_at)


def _length_s(start: time, end: time) -> int:
    """Return the seconds from a time of day to the next one, on a day without a change of the clock."""
    minutes = (end.hour - start.hour) * 60 + end.minute - start.minute
    return (minutes % (24 * 60) or 24 * 60) * 60


def _shown(instant: datetime, zone: tzinfo) -> datetime:
    """Return what clocks in ``zone`` show at ``instant``, naive."""
    return instant.astimezone(zone).replace(tzinfo=None)
