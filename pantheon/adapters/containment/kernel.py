"""System calls that Python 3.11 has no function for, each raising ``OSError`` as the ``os`` module does."""

import ctypes
import os
import platform
from collections.abc import Mapping
from functools import cache

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_SLAVE = 1, 2, 4, 8, 4096, 16384, 1 << 19
PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_PDEATHSIG = 3, 4, 1
PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS = 38, 39
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC = 1, 1
IO_URING_SETUP = 425

MACHINES: Mapping[str, Mapping[str, int]] = {
    "x86_64": {"arch": 0xC000003E, "socket": 41, "socketpair": 53, "seccomp": 317},
    "aarch64": {"arch": 0xC00000B7, "socket": 198, "socketpair": 199, "seccomp": 277},
}
"""Machine -> its audit number and the numbers of the system calls that differ."""


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    _check(_libc().unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount, bind, or change how mounts are passed on."""
    words = [os.fsencode(word) if word else None for word in (source, target, kind)]
    _check(_libc().mount(*words, ctypes.c_ulong(flags), data.encode() or None), target)


def prctl(option: int, value: int = 0) -> int:
    """Ask the kernel about this process, or tell it."""
    # The kernel refuses most options unless the words that they do not use are nought.
    return _check(_libc().prctl(option, *(ctypes.c_ulong(word) for word in (value, 0, 0, 0))), "prctl")


def system_call(number: int, *words: object) -> int:
    """Make a system call by its number."""
    return _check(_libc().syscall(ctypes.c_long(number), *words), f"system call {number}")


def numbers() -> Mapping[str, int]:
    """Return the numbers of this machine.

    Raises:
        OSError: ``ENOSYS`` for a machine whose numbers are not known here.
    """
    machine = platform.machine()
    if machine not in MACHINES:
        raise OSError(38, f"system calls of {machine} are not known")
    return MACHINES[machine]


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result
