"""When a night that is started by a timer may work: the windows of the policy, instead of times on its command line."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.content import read_regular
from pantheon.core.errors import PreflightError
from pantheon.core.policy import NIGHT_FILE, NightPolicy, load_policy
from pantheon.core.units import on_calendar
from pantheon.core.window import Hours, current_or_next
from pantheon.shell.config import Project
from pantheon.shell.hours_wiring import landing_hours, zone_of


@dataclass(frozen=True)
class Bounds:
    """The times that a night keeps."""

    until: datetime | None = None
    """Nothing new starts after it."""
    finish_by: datetime | None = None
    """Nothing starts that is not expected to be finished by then."""
    land_only: bool = False
    """Whether nothing but merges may start."""
    ends: bool = False
    """Whether the night sees to it by itself that it is over then; a daemon ends its nights."""


def bounds_of_window(project: Project) -> Bounds:
    """Return the times of the window that is open now.

    Raises:
        ConfigError: the policy is wrong.
        PreflightError: none is open.
    """
    return bounds_at(_policy(project), SystemClock().now())


def bounds_at(policy: NightPolicy, now: datetime) -> Bounds:
    """Return the times of a policy's window that is open at ``now``. Raises as ``bounds_of_window``."""
    if policy.window is None:
        return Bounds()
    zone = zone_of(policy.window)
    span = current_or_next(policy.window, zone, now)
    last_start = span.closes_at - timedelta(seconds=policy.window.last_start_s)
    if now in span and now < last_start:
        return Bounds(last_start, span.closes_at, ends=True)
    landing = landing_hours(policy)
    if landing is not None and landing.are_open(now):
        closes_at = landing.span(now).closes_at
        return Bounds(closes_at, closes_at, land_only=True, ends=True)
    if now in span:
        why = (
            f"nothing new starts after {last_start.astimezone(zone):%H:%M %Z}, {policy.window.last_start_s} s"
        )
        why = f"{why} before the window ends"
    else:
        why = f"the window opens {span.opens_at.astimezone(zone):%Y-%m-%d %H:%M %Z}"
    raise PreflightError(
        f"it is {now.astimezone(zone):%Y-%m-%d %H:%M %Z}, and {why} (policies/{NIGHT_FILE})",
        hint="Where a timer started it after the window was changed: pantheon daemon install --user, or systemctl "
        f"--user edit its timer: OnCalendar={' and OnCalendar='.join(calendar_of(policy))}. "
        "To work now all the same: pantheon night",
    )


def window_opened(project: Project) -> datetime | None:
    """Return when the window that is open now opened; None for none. Raises ``ConfigError`` for a wrong policy."""
    return opened_at(_policy(project), SystemClock().now())


def opened_at(policy: NightPolicy, now: datetime) -> datetime | None:
    """Return when a policy's window that is open at ``now`` opened; None where none is."""
    if policy.window is None:
        return None
    span = current_or_next(policy.window, zone_of(policy.window), now)
    return span.opens_at if now in span else None


def calendar_of(policy: NightPolicy) -> tuple[str, ...]:
    """Return when a timer has to start a night, as systemd writes it; empty for a policy without a window."""
    if policy.window is None:
        return ()
    landing = policy.merge_window
    return tuple(dict.fromkeys(on_calendar(one) for one in (policy.window, landing) if one is not None))


def timer_calendar(project: Project) -> tuple[str, ...]:
    """Return when a project's timer has to start a night. Raises ``ConfigError`` for a wrong policy."""
    # Said also where it is the shipped time, so that one which an earlier installation wrote does not stay.
    return calendar_of(_policy(project)) or (on_calendar(Hours()),)


def _policy(project: Project) -> NightPolicy:
    return load_policy(NightPolicy, NIGHT_FILE, read_regular(project.policies / NIGHT_FILE))
