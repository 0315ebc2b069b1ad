"""Starts a bubblewrap's program within its limits, ends it, and proves that its process namespace went with it.

Killing bubblewrap kills the first process of its namespace, and with that the kernel kills every other one, whatever
sessions or parents they have made themselves. The first process ends last, so waiting for it is waiting for all.
"""

import json
import os
import resource
import select
import signal
from collections.abc import Iterator
from contextlib import suppress

from pantheon.adapters.sandbox.process import wait_for_end
from pantheon.core.errors import SandboxError
from pantheon.core.sandbox import SandboxLimits

_SAY_S, _END_S = 2.0, 5.0
_MAX_STATUS_BYTES = 65_536


class Bubble:
    """What bubblewrap reports about one run (``--json-status-fd``).

    Args:
        status: the reading end of its pipe; stays the caller's, as the next one does.
        block: the writing end of the pipe that it waits for before it starts the program.
    """

    def __init__(self, status: int, block: int) -> None:
        self._status = status
        self._block = block
        self._said = bytearray()
        self._open = True

    @property
    def ran(self) -> bool:
        """Tell whether the program was started and its end reported, rather than bubblewrap failing before."""
        return any("exit-code" in report for report in self._reports())

    def admit(self, limits: SandboxLimits) -> None:
        """Set the limits on the first process of the namespace, then let it start the program.

        They are set there and not before, because a user namespace counts its own processes, and not by a program
        inside, because to start one more takes milliseconds. A bubblewrap that has failed is left alone.

        Raises:
            SandboxError: the kernel refuses a limit, or bubblewrap does not say what it has started.
        """
        self._listen(until_first=True)
        number = self._first()
        if number is None:
            if self._open:
                raise SandboxError(f"bubblewrap has started nothing within {_SAY_S:.0f} s")
            return
        try:
            for what, most in _limits(limits):
                resource.prlimit(number, what, (most, most))
            os.write(self._block, b"+")
        except (ProcessLookupError, BrokenPipeError):
            return
        except (OSError, ValueError) as error:
            raise SandboxError(f"the sandbox's limits cannot be set: {error}") from error

    def bury(self, _: int, pidfd: int | None) -> None:
        """End the namespace; see ``process.Undertaker``."""
        running = pidfd is not None and not wait_for_end(pidfd, 0)
        # It tells its child some milliseconds after its start, in several pieces. Killed before, it would leave a child
        # behind that waits for it.
        self._listen(until_first=running)
        first = self._open_first()
        try:
            if running and pidfd is not None:
                self._kill(first, pidfd)
            for end in (pidfd, first):
                if end is not None and not wait_for_end(end, _END_S):
                    raise SandboxError(f"the sandbox does not end: it did not die within {_END_S:.0f} s")
        finally:
            if first is not None:
                os.close(first)
        self._listen(until_first=False)

    @staticmethod
    def _kill(first: int | None, pidfd: int) -> None:
        for end in (first, pidfd):
            if end is not None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(end, signal.SIGKILL)

    def _open_first(self) -> int | None:
        number = self._first()
        if number is not None:
            with suppress(ProcessLookupError):
                return os.pidfd_open(number)
        return None

    def _first(self) -> int | None:
        """Return the process that is the namespace's first, by its number out here."""
        for report in self._reports():
            if isinstance(number := report.get("child-pid"), int):
                return number
        return None

    def _listen(self, *, until_first: bool) -> None:
        poller = select.poll()
        poller.register(self._status, select.POLLIN)
        while self._open and len(self._said) < _MAX_STATUS_BYTES:
            wait_s = _SAY_S if until_first and b"\n" not in self._said else 0.0
            if not poller.poll(wait_s * 1000):
                return
            chunk = os.read(self._status, 4096)
            self._said += chunk
            self._open = bool(chunk)

    def _reports(self) -> Iterator[dict[str, object]]:
        for line in bytes(self._said).split(b"\n"):
            with suppress(ValueError):
                report = json.loads(line)
                if isinstance(report, dict):
                    yield report


def _limits(limits: SandboxLimits) -> tuple[tuple[int, int], ...]:
    return (
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    )
