"""Tells a relay that this very process started from a socket that somebody named in its environment.

A variable is anybody's word; who began to listen is the kernel's. Only a direct child of this process, of the same
user, on a socket in a private folder, is the relay: ``exec`` keeps a process's number, so the night that started it
before it moved is still its parent.
"""

import os
import socket
import stat
from pathlib import Path

from pantheon.adapters.signer_peer import peer_of
from pantheon.core.errors import LocalityError

CONNECT_TIMEOUT_S = 5.0
_PRIVATE = 0o700


def check_own_relay(path: Path, name: str) -> Path:
    """Return the socket of this process's relay.

    Args:
        path: where it is said to listen.
        name: the variable that says so, for messages.

    Raises:
        LocalityError: it is not the relay of this process.
    """
    why = _against(path)
    if why is None:
        return path
    raise LocalityError(
        f"{name} is set, and not by this night's own containment: {why}", hint=f"unset {name}", variable=name
    )


def _against(path: Path) -> str | None:
    uid = os.geteuid()
    if not path.is_absolute():
        return "no absolute path"
    try:
        folder, found = path.parent.lstat(), path.lstat()
        if (
            not stat.S_ISDIR(folder.st_mode)
            or stat.S_IMODE(folder.st_mode) != _PRIVATE
            or folder.st_uid != uid
        ):
            return "its folder is not a private one of this user"
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != uid:
            return "it is no socket of this user"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CONNECT_TIMEOUT_S)
            connection.connect(str(path))
            peer = peer_of(connection)
        if peer.uid != uid or _parent_of(peer.pid) != os.getpid():
            return "another process listens there"
    except OSError as error:
        return error.strerror or str(error)
    return None


def _parent_of(pid: int) -> int:
    """Return the parent of a process. Raises ``OSError`` when it is gone."""
    told = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    # The name in brackets may hold anything, closing brackets included.
    return int(told.rpartition(")")[2].split()[1])
