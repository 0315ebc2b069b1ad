"""What a night keeps of the environment that it was started in: the policy's allow-list and its own needs.

Invariant: a variable that nobody named is not there, in the night itself, its ``/proc/PID/environ`` (where the night
starts itself again) and whatever it starts; what a child gets of the rest is decided where it is started.
"""

import os
from collections.abc import Iterable, Mapping

from pantheon.shell.config import Config
from pantheon.shell.environment import PREFIX, RESERVED, drop_from_environment, environment
from pantheon.shell.settings import dotted_keys, variable_of

NEEDED = frozenset({
    "HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ",  # found by name: keys, git, bwrap, the local time
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME",  # models, keys, sockets, witness
    "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "TERM",  # progress on a terminal
    "CREDENTIALS_DIRECTORY",  # the service manager's folder with the signer's key
    "PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONUNBUFFERED", "PYTHONUTF8",
})  # fmt: skip
"""What Pantheon itself reads, or the interpreter that is started again."""


def night_environment(allowed: Iterable[str]) -> Mapping[str, str]:
    """Return the variables that a night keeps.

    Args:
        allowed: names that the policy passes on.
    """
    own = {variable_of(key, PREFIX) for key in dotted_keys(Config)} | RESERVED
    kept = NEEDED | own | frozenset(allowed)
    return {name: value for name, value in environment().items() if name in kept}


def strip_environment(allowed: Iterable[str]) -> None:
    """Take out of this process's environment what a night does not keep."""
    drop_from_environment(os.environ.keys() - night_environment(allowed).keys())
