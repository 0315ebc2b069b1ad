"""Who is at the other end of a Unix socket, as the kernel tells it and nobody else can."""

import socket
import struct
from typing import NamedTuple


class Peer(NamedTuple):
    """The process at the other end; where that is a server, the one that began to listen."""

    pid: int
    uid: int


def peer_of(connection: socket.socket) -> Peer:
    """Return who is at the other end of a connected Unix socket."""
    size = struct.calcsize("3i")
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return Peer(pid, uid)
