"""Code in the sandbox cannot look into other processes, change namespaces, or use the kernel's rarely used doors."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.primitive("bwrap", "seccomp")

PYTHON = "/usr/bin/python3"
VICTIM = """
import ctypes, sys, time
secret = ctypes.create_string_buffer(b"secret of the daemon")
print(hex(ctypes.addressof(secret)), flush=True)
sys.stdin.readline()
print(secret.value.decode(), flush=True)
"""


class Victim(NamedTuple):
    """A process that stands for the daemon."""

    process: "subprocess.Popen[str]"
    address: str

    @property
    def arguments(self) -> tuple[str, str]:
        return str(self.process.pid), self.address


@contextlib.contextmanager
def victim_of(user: int) -> Iterator[Victim]:
    process = subprocess.Popen(
        [PYTHON, "-I", "-c", VICTIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        user=user, group=user, extra_groups=[],
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            yield Victim(process, process.stdout.readline().strip())
        finally:
            process.kill()


EXPECTED = {
    "signal another": "ESRCH",
    "take a descriptor": "ESRCH",
    "open another's memory": "ENOENT",
    "clone3": "ENOSYS",
    "a call of tomorrow": "ENOSYS",
    "x32": "killed by SIGSYS",
    "i386": "killed by SIGSYS",
}
"""What a refusal looks like where it is not ``EPERM``."""
UNKNOWN_OUTSIDE = {"a call of tomorrow": "ENOSYS", "x32": "ENOSYS", "load a program": "E2BIG"}
"""What reaches the kernel without the sandbox and fails there: not known to it, or told nothing that it accepts."""


async def test_no_dangerous_call_goes(confined) -> None:
    """Outside, as root in namespaces of his own, forty calls go; inside each is refused, or kills its caller.

    Among them: another's memory and descriptors, tracing, seven kinds of namespaces by two ways, mounts, keys, BPF,
    io_uring, words put into a terminal, and the machine languages that the filter's numbers do not fit.
    """
    with victim_of(0) as victim:
        control = confined.outside("calls", *victim.arguments, user=0)
    assert control == dict.fromkeys(control, "went") | UNKNOWN_OUTSIDE
    assert len(control) >= 40
    with victim_of(confined.user) as victim:
        found = await confined.inside("calls", *victim.arguments)
        assert found == dict.fromkeys(control, "EPERM") | EXPECTED
        assert victim.process.stdin is not None and victim.process.stdout is not None
        victim.process.stdin.write("\n")
        victim.process.stdin.flush()
        assert victim.process.stdout.readline().strip() == "secret of the daemon"


LOOK = """
import ctypes, os, sys
def attempt(way):
    try:
        way()
        return "went"
    except OSError as error:
        return "refused"
libc = ctypes.CDLL(None, use_errno=True)
pid, address = int(sys.argv[1]), int(sys.argv[2], 16)
def mem():
    with open(f"/proc/{pid}/mem", "rb", 0) as file:
        file.seek(address)
        file.read(8)
def trace():
    if libc.ptrace(16, pid, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(pid, 0x40000000)
    libc.ptrace(17, pid, 0, 0)
def environ():
    with open(f"/proc/{pid}/environ", "rb") as file:
        file.read()
print(attempt(mem), attempt(trace), attempt(environ))
"""


def test_a_sealed_daemon_cannot_be_looked_into_by_another_process_of_its_user() -> None:
    """Memory, tracing and environment: open between two processes of one user, closed once the daemon is sealed."""
    program = (
        "import ctypes, os, sys, time\n"
        "from pantheon.adapters.containment.seal import seal_process\n"
        "secret = ctypes.create_string_buffer(b'secret')\n"
        "os.setgroups([]); os.setgid(60321); os.setuid(60321)\n"
        "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"  # a change of user closes it already: open it for the control
        "sys.argv[1] == 'sealed' and seal_process()\n"
        "print(hex(ctypes.addressof(secret)), flush=True)\n"
        "sys.stdin.readline()\n"
    )
    said = {}
    for state in ("open", "sealed"):
        with subprocess.Popen(
            [sys.executable, "-c", program, state], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as daemon:
            assert daemon.stdout is not None
            address = daemon.stdout.readline().strip()
            looked = subprocess.run(
                [PYTHON, "-I", "-c", LOOK, str(daemon.pid), address],
                capture_output=True, text=True, check=True, user=60_321, group=60_321, extra_groups=[],
            )  # fmt: skip
            said[state] = looked.stdout.split()
            daemon.kill()
    assert said == {"open": ["went"] * 3, "sealed": ["refused"] * 3}
