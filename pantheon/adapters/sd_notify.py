"""The service manager's notification protocol: one datagram of ``KEY=value`` lines to a Unix socket.

Thirty lines instead of a dependency: the protocol is stable, and the common libraries for it either need
libsystemd's headers to build or send blindly what they are given. Values here can hold a path or an error's words,
so each is made to fit on one line: a line feed in a path cannot become a second fact.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import os
import socket
import time
from collections.abc import Mapping

from pantheon.core.visible import visible_line

SOCKET, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
VARIABLES = (SOCKET, WATCHDOG, WATCHDOG_PID)
"""Variables that are this process's alone; no child may speak for it."""
MAX_VALUE_CHARS = 400
MICROSECONDS = 1_000_000


class SystemdSupervisor:
    """``ports.daemon.Supervisor`` over the socket that the environment names; silent without one.

    Args:
        variables: the environment.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._address = _address(variables.get(SOCKET, ""))
        self._watchdog_s = _watchdog(variables) if self._address else None
        self._socket = None
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        self.dropped = 0
        """Messages that nobody took."""

    @property
    def watchdog_s(self) -> float | None:
        return self._watchdog_s

    def tell(self, **facts: str) -> None:
        if self._socket is None or self._address is None:
            return
        if "RELOADING" in facts:
            facts["MONOTONIC_USEC"] = str(time.monotonic_ns() // 1_000)
        lines = "\n".join(f"{key}={visible_line(value)[:MAX_VALUE_CHARS]}" for key, value in facts.items())
        try:
            self._socket.sendto(lines.encode(), self._address)
        except OSError:
            # A manager that is busy or gone is no reason to end a night; the watchdog decides what silence means.
            self.dropped += 1

    def close(self) -> None:
        """Close the socket; harmless twice. What is told afterwards is dropped."""
        if self._socket is not None:
            self._socket.close()


def _address(value: str) -> str | bytes | None:
    if value.startswith("@"):
        return b"\0" + os.fsencode(value[1:])
    return value if value.startswith("/") else None


def _watchdog(variables: Mapping[str, str]) -> float | None:
    meant = variables.get(WATCHDOG_PID, "")
    if meant and meant != str(os.getpid()):
        return None
    period = variables.get(WATCHDOG, "")
    return int(period) / MICROSECONDS if period.isascii() and period.isdigit() and int(period) > 0 else None
