"""Tells whether somebody listens at an address, and clears away what a server that is gone left there.

Invariants:
- the path of a socket is removed only where a connection to it is refused, and nobody of this network namespace has it
  bound either: a server that loads has bound its socket and takes no connection yet;
- nobody is seen who has bound an address of TCP and does not listen, nor who has bound a socket in another network
  namespace and does not listen: the kernel answers for them as for nobody;
- what is no socket is somebody's file.
"""

import os
import socket
import stat
from pathlib import Path

from pantheon.core.errors import ConfigError

TRY_S = 5.0
UNIX_SOCKETS = Path("/proc/net/unix")


def is_taken(uds: str, host: str, port: int) -> bool:
    """Tell whether somebody takes connections at an address, or has bound its Unix socket. Blocks.

    Args:
        uds: path of a Unix socket; empty asks about ``host`` and ``port``.
        host, port: address on loopback.

    Raises:
        ConfigError: something else is at the path, or it may not be asked.
    """
    if uds and not os.path.lexists(uds):
        return False
    if uds and not stat.S_ISSOCK(Path(uds).lstat().st_mode):
        raise ConfigError(
            f"pantheon.toml: endpoint.uds: {uds} is there, and is no socket",
            hint="Move it away, or name another path.",
        )
    family = socket.AF_UNIX if uds else socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.settimeout(TRY_S)
        try:
            tried.connect(uds or (host, port))
        except (ConnectionRefusedError, FileNotFoundError):
            return bool(uds) and _is_bound(uds)
        except (BlockingIOError, TimeoutError):
            # More wait to be let in than it has room for: somebody is there.
            return True
        except OSError as error:
            raise ConfigError(
                f"{uds or f'{host}:{port}'}: cannot be asked who listens there: {error.strerror}",
                hint="Look at its folder and its owner, or name another address as [endpoint].",
            ) from error
    return True


def clear_socket(uds: str) -> None:
    """Remove the socket that a server left which is gone; nothing is done where somebody has it. Blocks.

    Raises:
        ConfigError: as ``is_taken``.
    """
    if uds and os.path.lexists(uds) and not is_taken(uds, "", 0):
        Path(uds).unlink(missing_ok=True)


def _is_bound(uds: str) -> bool:
    """Tell whether a socket of this network namespace is bound to a path, whether or not it listens already."""
    try:
        lines = UNIX_SOCKETS.read_text(errors="surrogateescape").splitlines()[1:]
    except OSError:
        return False
    return any(line.split(maxsplit=7)[7:] == [uds] for line in lines)
