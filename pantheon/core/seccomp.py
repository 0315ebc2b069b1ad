"""Which system calls code in the sandbox has left, as data that an adapter compiles.

Two filters, of which the kernel takes the stricter answer:
- *known*: a call that the compiling library has no name for does not exist (``ENOSYS``), so that tomorrow's calls are
  not allowed by being unknown today. Other machine languages (i386, x32) are killed.
- *refused*: ``DENIED``, ``ABSENT`` and ``CONDITIONS``.

An argument of 32 bits is compared under a mask, or as "greater than": the kernel drops its upper half, so that a
comparison of all 64 bits for equality would be walked around by garbage in that half.

Trade-off: this is the second wall. Namespaces, no capabilities and an unprivileged user are the first.

Source: ADR 0011.
"""

from dataclasses import dataclass
from enum import StrEnum

DENIED: tuple[str, ...] = (
    # Into other processes, and out of the accounting of one's own.
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_getfd", "kcmp",
    "perf_event_open", "acct", "lookup_dcookie", "personality",
    # Around this filter: what they do happens outside the calls that it sees.
    "io_uring_setup", "io_uring_enter", "io_uring_register",
    # The kernel's rarely used doors.
    "bpf", "userfaultfd", "add_key", "request_key", "keyctl", "quotactl", "quotactl_fd", "vmsplice", "vm86",
    "vm86old", "modify_ldt", "fanotify_init", "fanotify_mark",
    # Other namespaces, other mounts.
    "unshare", "setns", "mount", "umount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen",
    "fsconfig", "fsmount", "fspick", "mount_setattr", "name_to_handle_at", "open_by_handle_at",
    # The machine itself.
    "reboot", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "swapon", "swapoff",
    "syslog", "settimeofday", "stime", "clock_settime", "clock_settime64", "clock_adjtime", "clock_adjtime64",
    "adjtimex", "sethostname", "setdomainname", "iopl", "ioperm", "vhangup", "uselib", "sysfs", "_sysctl",
)  # fmt: skip
"""Answered with ``EPERM``, where the machine has them at all."""

ABSENT: tuple[str, ...] = ("clone3",)
"""Answered with ``ENOSYS``: its flags are behind a pointer, and the C library falls back to ``clone``."""


class Compare(StrEnum):
    """How an argument is compared."""

    EQUAL = "equal"
    """Of the bits in the mask."""
    GREATER = "greater"
    """Of all 64 bits, so that garbage in the upper half is refused."""


@dataclass(frozen=True)
class Condition:
    """A call that is refused with ``EPERM`` when an argument has a certain value."""

    call: str
    argument: int
    compare: Compare
    value: int
    mask: int = 0xFFFF_FFFF


AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
SOCK_STREAM, SOCK_DGRAM, SOCK_TYPE_MASK = 1, 2, 0xF
_FAMILIES, _TYPES = (AF_UNIX, AF_INET, AF_INET6), (SOCK_STREAM, SOCK_DGRAM)
_TERMINAL_INPUTS = (
    0x5412,  # TIOCSTI: words put into a terminal are commands of the person before it
    0x541C,  # TIOCLINUX
    0x5423,  # TIOCSETD
)
_NAMESPACES = (
    0x0002_0000,  # mounts
    0x0200_0000,  # control groups
    0x0400_0000,  # host name
    0x0800_0000,  # System V messages
    0x1000_0000,  # users
    0x2000_0000,  # processes
    0x4000_0000,  # network
)

CONDITIONS: tuple[Condition, ...] = (
    *(Condition("ioctl", 1, Compare.EQUAL, value) for value in _TERMINAL_INPUTS),
    *(Condition("clone", 0, Compare.EQUAL, flag, mask=flag) for flag in _NAMESPACES),
    *(
        condition
        for call in ("socket", "socketpair")
        for condition in (
            *(
                Condition(call, 0, Compare.EQUAL, value)
                for value in range(AF_INET6)
                if value not in _FAMILIES
            ),
            Condition(call, 0, Compare.GREATER, AF_INET6),
            *(
                Condition(call, 1, Compare.EQUAL, value, mask=SOCK_TYPE_MASK)
                for value in range(SOCK_TYPE_MASK + 1)
                if value not in _TYPES
            ),
        )
    ),
)
"""Sockets are streams and datagrams of ``AF_UNIX``, ``AF_INET`` and ``AF_INET6``: tests need loopback, and the
sandbox's network holds nothing else."""
