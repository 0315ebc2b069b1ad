"""How much of a machine's CPU went to programs that have nothing to do with a measurement."""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Mark:
    """CPU seconds up to a moment: of the whole machine, and of the measurement with its server."""

    at_s: float
    machine_s: float
    own_s: float

    def others_since(self, before: "Mark") -> float:
        """Return CPU seconds of others for each second since then: 1 is one core."""
        own_s = self.own_s - before.own_s
        return max(0.0, (self.machine_s - before.machine_s - own_s) / (self.at_s - before.at_s))


def mark(server_group: int) -> Mark:
    """Take the time.

    Args:
        server_group: process group of the model server.
    """
    user, nice, system, _idle, _wait, irq, soft, steal, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Mark(
        at_s=time.monotonic(),
        machine_s=(user + nice + system + irq + soft + steal) / TICKS,
        own_s=sum(one.ru_utime + one.ru_stime for one in own) + _group_s(server_group),
    )


def _group_s(group: int) -> float:
    ticks = 0
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            # It ended between the listing and the reading.
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS
