"""The only module that reads the process's environment. Cheap to import."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pantheon.core.errors import ConfigError

PREFIX = "PANTHEON_"
CONTAINED = "PANTHEON_CONTAINED"
"""Set by a night for itself when it moves into a network namespace: inode of the one that it came from."""
RELAY = "PANTHEON_RELAY"
"""Set with it: the Unix socket that leads to the model server on the loopback outside."""
POOL_RELAYS = "PANTHEON_POOL_RELAYS"
"""Set with it: JSON, endpoint of the pool -> the Unix socket that leads to it, where it is on the loopback outside."""
TRUSTED = "PANTHEON_TRUSTED_USERS"
"""Whose state is believed beside this user's own: names or numbers, with commas; ``*`` is everybody of the machine."""
EVERYBODY = "*"
RESERVED = frozenset({"PANTHEON_DEBUG", "PANTHEON_MODELS_DIR", CONTAINED, RELAY, POOL_RELAYS, TRUSTED})
"""Variables with the prefix that name no field of the configuration."""


def environment() -> Mapping[str, str]:
    """Return a copy of the environment as it is now."""
    return dict(os.environ)


def trusted_users() -> frozenset[str]:
    """Return whom ``PANTHEON_TRUSTED_USERS`` names, and by number who asked sudo for root."""
    named = {one.strip() for one in os.environ.get(TRUSTED, "").split(",")}
    asked = {os.environ.get("SUDO_UID", "")} if os.geteuid() == 0 else set()
    return frozenset((named | asked) - {""})


def drop_from_environment(names: Iterable[str]) -> None:
    """Take variables out of this process's environment, and so out of every child's."""
    for name in names:
        os.environ.pop(name, None)


def debug_wanted() -> bool:
    """Tell whether ``PANTHEON_DEBUG`` asks for tracebacks."""
    return os.environ.get("PANTHEON_DEBUG", "") not in ("", "0")


def completion_wanted() -> bool:
    """Tell whether a shell asks for completions."""
    return "_PANTHEON_COMPLETE" in os.environ


def colour_forbidden() -> bool:
    """Tell whether ``NO_COLOR`` is set, or the terminal calls itself dumb."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def base_folder(variable: str, fallback: str) -> Path:
    """Return an XDG base folder.

    Args:
        variable: ``XDG_CONFIG_HOME`` and its kin; a relative value is ignored, as the specification demands.
        fallback: path under the home folder.

    Raises:
        ConfigError: neither the variable nor a home folder is there.
    """
    value = os.environ.get(variable, "")
    if value.startswith("/"):
        return Path(value)
    try:
        return Path.home() / fallback
    except RuntimeError as error:
        raise ConfigError(
            "this user has no home folder", hint=f"set HOME, or {variable} to an absolute path"
        ) from error
