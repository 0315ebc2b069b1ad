"""The hours of the policy in the time zones of this machine."""

from datetime import tzinfo

from pantheon.adapters.zones import find_zone, local_zone
from pantheon.core.policy import NightPolicy
from pantheon.core.window import LOCAL, Hours, LandingHours, MergeWindowPolicy
from pantheon.shell.environment import environment


def zone_of(hours: Hours) -> tzinfo:
    """Return the time zone that hours are in. Raises ``ConfigError`` when this machine does not know it."""
    if hours.time_zone == LOCAL:
        return local_zone(environment().get("TZ", ""))
    section = "merge_window" if isinstance(hours, MergeWindowPolicy) else "window"
    return find_zone(hours.time_zone, section)


def landing_hours(policy: NightPolicy) -> LandingHours | None:
    """Return when merges may start; None for any time. Raises ``ConfigError`` for an unknown time zone."""
    window = policy.merge_window
    return None if window is None else LandingHours(window, zone_of(window))
