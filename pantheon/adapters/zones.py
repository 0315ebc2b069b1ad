"""Time zones by name, from the system's database."""

from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pantheon.core.errors import ConfigError

LOCALTIME = Path("/etc/localtime")


def find_zone(name: str, section: str = "window") -> tzinfo:
    """Return a time zone with all its changes of summer time.

    Args:
        name: of the IANA database.
        section: of the policy that names it.

    Raises:
        ConfigError: the database has no such zone, or this machine has no database.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f"policies/night.toml: {section}.time_zone: no time zone {name!r} on this machine",
            hint="Take a name from the IANA database, such as Europe/Berlin; the system's package is tzdata.",
        ) from error


def local_zone(variable: str) -> tzinfo:
    """Return the machine's own time zone.

    Args:
        variable: what ``TZ`` says; empty for nothing.

    Returns:
        The zone that ``TZ`` names, else that of /etc/localtime, else UTC.

    Raises:
        ConfigError: ``TZ`` names no zone, or /etc/localtime is damaged.
    """
    if variable:
        return find_zone(variable.removeprefix(":"))
    try:
        with LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file, key=LOCALTIME.name)
    except FileNotFoundError:
        return UTC
    except (OSError, ValueError) as error:
        raise ConfigError(f"{LOCALTIME} cannot be read as a time zone: {error}") from error
