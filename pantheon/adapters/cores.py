"""How many threads are worth starting: physical cores that this process may use."""

import os
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")
CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def count_cores(cpus: Path = CPUS, limit: Path = CGROUP_LIMIT) -> int:
    """Return the number of physical cores among the allowed processors, within the container's share; at least 1.

    Two hyper-threads of one core count once: for matrix work the second one only gets in the way.

    Args:
        cpus: where the kernel describes processors.
        limit: where the kernel says how much processor time this control group may use.
    """
    allowed = os.sched_getaffinity(0)
    cores = {_siblings(cpus, number) for number in allowed}
    return max(1, min(len(cores), _share(limit) or len(cores)))


def _siblings(cpus: Path, number: int) -> str:
    try:
        return (cpus / f"cpu{number}/topology/thread_siblings_list").read_text("ascii").strip()
    except (OSError, ValueError):
        return str(number)


def _share(limit: Path) -> int | None:
    try:
        quota, period = (int(word) for word in limit.read_text("ascii").split())
    except (OSError, ValueError):
        return None  # no file, or the word "max"
    return max(1, quota // period) if period > 0 else None
