"""Closes what a network namespace leaves open: descriptors from before, odd families of sockets, privileges, memory.

Invariants:
- afterwards this process and all it starts make Unix, IPv4, IPv6 and netlink sockets only, and no io_uring, which
  makes sockets without asking;
- nothing here can be undone by the process itself.

Accepted: on a machine whose system calls are not known here the kinds of socket stay open, and the proof says so.
"""

import ctypes
import errno
import os
import socket
import stat
import struct
from collections.abc import Collection, Mapping
from pathlib import Path

from pantheon.adapters.containment import kernel
from pantheon.core.errors import PreflightError

FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
"""Netlink stays: a sandbox brings its own loopback up with it, and it reaches the kernel only."""
DESCRIPTORS = Path("/proc/self/fd")
STANDARD = 2
X32_BIT = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCH_AT, _FIRST_WORD_AT = 0, 4, 16


def close_inherited(keep: Collection[int] = ()) -> None:
    """Close every descriptor from before that is not a file, a folder or a pipe.

    What Python opens itself is never inheritable, so that only what came with the process is closed.

    Args:
        keep: descriptors to leave alone.

    Raises:
        PreflightError: the descriptors cannot be listed.
    """
    try:
        found = list_descriptors()
    except OSError as error:
        raise PreflightError(f"{DESCRIPTORS}: cannot be read: {error.strerror}") from error
    for descriptor in found:
        if descriptor > STANDARD and descriptor not in keep and _is_strange(descriptor):
            os.close(descriptor)


def list_descriptors(folder: Path = DESCRIPTORS) -> tuple[int, ...]:
    """Return the descriptors that are open.

    Raises:
        OSError: they cannot be listed, or what was listed is something else in the list's place.
    """
    own = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        names = os.listdir(own)  # noqa: PTH208 (of a descriptor, not of a path)
    finally:
        os.close(own)
    if str(own) not in names:
        raise OSError(errno.ENOENT, "not a list of descriptors", str(folder))
    return tuple(sorted(int(name) for name in names if name != str(own)))


def seal_process() -> None:
    """Hide this process's memory, give up new privileges, and allow only the families that a night needs.

    Raises:
        PreflightError: the kernel refuses.
    """
    try:
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    except OSError as error:
        raise PreflightError(f"the process cannot be sealed: {error}") from error
    try:
        _install(kernel.numbers())
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise PreflightError(f"the kinds of socket cannot be limited: {error}") from error


def _is_strange(descriptor: int) -> bool:
    try:
        if not os.get_inheritable(descriptor):
            return False
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False  # the listing's own descriptor, closed since
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISFIFO(mode))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def _install(numbers: Mapping[str, int]) -> None:
    program = filter_program(numbers["arch"], numbers["socket"], numbers["socketpair"])
    code = ctypes.create_string_buffer(program, len(program))

    whole = _Program(len(program) // 8, ctypes.addressof(code))
    kernel.system_call(
        numbers["seccomp"],
        kernel.SECCOMP_SET_MODE_FILTER,
        kernel.SECCOMP_FILTER_FLAG_TSYNC,
        ctypes.byref(whole),
    )


def filter_program(arch: int, make: int, make_pair: int) -> bytes:
    """Return the filter over system calls, as the kernel reads it.

    Args:
        arch: audit number of the machine; calls of any other are refused.
        make: number of ``socket``.
        make_pair: number of ``socketpair``.
    """
    count = len(FAMILIES)
    check, denied = 7, 9 + count
    allowed = denied + 1
    steps = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_EQUAL, 0, denied - 2, arch),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, denied - 4, 0, X32_BIT),
        (_EQUAL, denied - 5, 0, kernel.IO_URING_SETUP),
        (_EQUAL, check - 6, 0, make),
        (_EQUAL, 0, allowed - 7, make_pair),
        (_LOAD, 0, 0, _FIRST_WORD_AT),
        *((_EQUAL, allowed - (check + 2 + place), 0, int(one)) for place, one in enumerate(FAMILIES)),
        (_RETURN, 0, 0, _ERROR | errno.EAFNOSUPPORT),
        (_RETURN, 0, 0, _ERROR | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
