"""Runs a program where a night runs: ``python -m pantheon.testing.contained UID [--firewall ADDRESS] PROGRAM ...``.

It becomes that user, enters, seals and proves as ``pantheon night`` does, and replaces itself by the program; what is
not proven ends it with exit code 3 and the reasons. It imports everything before it leaves root, for the interpreter
may lie where the other user cannot read.
"""

import codecs
import os
import sys

from pantheon.adapters.containment import kernel
from pantheon.adapters.containment.enter import enter_namespace, network_namespace
from pantheon.adapters.containment.observe import observe
from pantheon.adapters.containment.seal import close_inherited, seal_process
from pantheon.core.containment import Containment, decide_containment
from pantheon.core.errors import PantheonError


def become(uid: int) -> None:
    """Leave root for another user and group of the same number."""
    if uid == os.geteuid():
        return
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    # A program that is started as this user can be looked into by it; one that became it cannot.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)


def main() -> None:
    """Contain this process and become the program. Never returns."""
    uid, program, allowed = int(sys.argv[1]), sys.argv[2:], []
    if program[0] == "--firewall":
        allowed, program = program[1:2], program[2:]
    mode = Containment.FIREWALL if allowed else Containment.NETNS
    codecs.lookup("ascii")  # a module like others, read when it is first needed
    become(uid)
    try:
        close_inherited()
        outside = network_namespace()
        enter_namespace(network=not allowed)
        seal_process()
    except PantheonError as error:
        print(error, file=sys.stderr)  # noqa: T201 (this is its standard error)
        sys.exit(error.exit_code)
    verdict = decide_containment(observe(mode, outside_namespace=outside, allowed=allowed))
    if not verdict.proven:
        print("\n".join(reason.message for reason in verdict.reasons), file=sys.stderr)  # noqa: T201 (as above)
        sys.exit(3)
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()
