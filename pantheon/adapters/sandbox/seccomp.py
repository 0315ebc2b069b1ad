"""Compiles the system-call filters of ``core.seccomp`` with libseccomp, for the machine that this is.

libseccomp knows each machine's numbers. A call that it does not know needs no rule of refusal: the first filter has
no place for it.
"""

import errno
import os
from dataclasses import dataclass
from typing import Any

from pantheon.core.errors import PreflightError
from pantheon.core.seccomp import ABSENT, CONDITIONS, DENIED, Compare

MEND = "Install libseccomp 2.5 or newer (Debian, Ubuntu: apt-get install libseccomp2)."
_AS_TREE = 2
"""Compares in some nine steps and not in hundreds, which the kernel takes for every call there is when it loads it."""
_NUMBERS = range(1_024)
"""Holds every system call of Linux; 470 were in use in 2026."""


@dataclass(frozen=True)
class FilterPrograms:
    """Two programs, in the order in which they are loaded."""

    known: bytes
    refused: bytes


def compile_filters() -> FilterPrograms:
    """Compile both filters; blocks for some 50 ms.

    Raises:
        PreflightError: libseccomp is missing, or does not do as it is told.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError) as error:
        raise PreflightError("the sandbox's system-call filter needs libseccomp", hint=MEND) from error
    try:
        return FilterPrograms(_known(pyseccomp), _refused(pyseccomp))
    except (OSError, ValueError) as error:
        raise PreflightError(f"libseccomp did not make the sandbox's filter: {error}", hint=MEND) from error


def _known(library: Any) -> bytes:
    rules = library.SyscallFilter(library.ERRNO(errno.ENOSYS))
    rules.set_attr(library.Attr.CTL_OPTIMIZE, _AS_TREE)
    machine = library.system_arch()
    for number in _NUMBERS:
        try:
            library.resolve_syscall(machine, number)
        except ValueError:
            continue
        rules.add_rule(library.ALLOW, number)
    return _export(library, rules)


def _refused(library: Any) -> bytes:
    rules = library.SyscallFilter(library.ALLOW)
    machine = library.system_arch()
    for error, names in ((errno.EPERM, DENIED), (errno.ENOSYS, ABSENT)):
        for name in names:
            number = library.resolve_syscall(machine, name)
            if number >= 0:
                rules.add_rule_exactly(library.ERRNO(error), number)
    for rule in CONDITIONS:
        if rule.compare is Compare.EQUAL:
            argument = library.Arg(rule.argument, library.MASKED_EQ, rule.mask, rule.value)
        else:
            argument = library.Arg(rule.argument, library.GT, rule.value)
        rules.add_rule_exactly(library.ERRNO(errno.EPERM), rule.call, argument)
    return _export(library, rules)


def _export(library: Any, rules: Any) -> bytes:
    rules.set_attr(library.Attr.ACT_BADARCH, library.KILL_PROCESS)
    with os.fdopen(os.memfd_create("filter", os.MFD_CLOEXEC), "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
