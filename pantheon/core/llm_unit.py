"""What the shipped ``pantheon-llm.service`` can see of a machine, so that no command is put into it that cannot work.

The unit has ``ProtectHome=yes``, ``PrivateTmp=yes`` and one folder for its socket: a model below ``/home`` is not there
for it, and a socket in ``/tmp`` is there for nobody else. Both would show only once the service is started.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

from pantheon.core.errors import ConfigError

SOCKETS = PurePosixPath("/run/pantheon-llm")
"""The one folder that the unit may write its socket to."""
LOG = PurePosixPath("/var/log/pantheon-llm/server.log")
"""Where the unit's output goes."""
HIDDEN = tuple(PurePosixPath(one) for one in ("/home", "/root", "/run/user", "/tmp", "/var/tmp"))
"""What the unit sees empty, or its own."""


def refuse_unseen(uds: str, places: Iterable[tuple[str, str]]) -> None:
    """Refuse what the unit could not see, or could not show anybody.

    Args:
        uds: the socket to serve on; empty for loopback.
        places: key in the configuration and path of whatever the server reads; where a link leads is one more.

    Raises:
        ConfigError: it says which, and where it could be.
    """
    if uds and PurePosixPath(uds).parent != SOCKETS:
        raise ConfigError(
            f"pantheon.toml: endpoint.uds: pantheon-llm.service cannot make its socket at {uds}",
            hint=f'Set endpoint.uds = "{SOCKETS}/llm.sock"; elsewhere, pantheon server start serves it without a unit.',
        )
    for key, path in places:
        here = PurePosixPath(path)
        for hidden in HIDDEN:
            if here.is_relative_to(hidden):
                raise ConfigError(
                    f"pantheon.toml: {key}: pantheon-llm.service does not see {path}: {hidden} is hidden from it",
                    hint="Move it to where every service can read it, /srv/models or /opt for example.",
                )
