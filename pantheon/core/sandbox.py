"""Values of the sandbox that everything runs in which executes a repository's code.

Invariants:
- every limit has a ceiling, so that nobody can ask for "no limit";
- a result says both what the code did and what was done to it: what was cut, and why it was killed.

How bubblewrap is told all this is ``core.bubblewrap``; which system calls are left is ``core.seccomp``.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from pydantic import Field

from pantheon.core.errors import SandboxError
from pantheon.core.model import Frozen

MIB = 1 << 20
MAX_ARGUMENTS, MAX_ARGUMENT_BYTES = 4_096, 131_072 - 1


class SandboxKind(StrEnum):
    """How code of the repository is run: ``sandbox`` in ``policies/night.toml``."""

    BUBBLEWRAP = "bubblewrap"
    NONE = "none"
    """Without any sandbox. Only when the policy says so in so many words, and the report repeats it."""


class SandboxLimits(Frozen):
    """Ceilings of one run."""

    wall_s: float = Field(default=600, gt=0, le=86_400)
    """Seconds after which everything in the sandbox is killed."""
    cpu_s: int = Field(default=600, ge=1, le=86_400)
    """Processor seconds of one process."""
    memory_bytes: int = Field(default=4096 * MIB, ge=16 * MIB, le=1 << 40)
    """Address space of one process."""
    processes: int = Field(default=256, ge=8, le=4_096)
    """Processes and threads together, at any instant, the sandbox's own two among them."""
    file_bytes: int = Field(default=256 * MIB, ge=0, le=1 << 40)
    """Size of one file that is written."""
    output_bytes: int = Field(default=4 * MIB, ge=1, le=256 * MIB)
    """Bytes kept of each of standard output and standard error; one byte more ends the run."""
    tmp_bytes: int = Field(default=256 * MIB, ge=MIB, le=1 << 40)
    """Size of the private ``/tmp``, and of ``/dev/shm``; both are memory."""
    disk_bytes: int = Field(default=2048 * MIB, ge=MIB, le=1 << 44)
    """Space that may vanish from the tree's disk during the run, whoever takes it; the run is ended then."""
    disk_files: int = Field(default=200_000, ge=1, le=1 << 32)
    """The same for the number of files that the disk can still take."""
    open_files: int = Field(default=1_024, ge=16, le=65_536)
    """Descriptors of one process."""


class KillReason(StrEnum):
    """Why a run was ended from outside."""

    DEADLINE = "deadline"
    OUTPUT = "output"
    DISK = "disk"


class SandboxResult(Frozen):
    """What became of one run."""

    returncode: int
    """Exit status; 128 + n for signal n, as a shell tells it. Of a killed run it means nothing."""
    signal: int | None = None
    """The signal that ended the program, where the exit status tells of one."""
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    killed: KillReason | None = None
    """Why the run was ended from outside; None when it ended by itself."""
    duration_s: float = Field(ge=0)

    @property
    def timed_out(self) -> bool:
        """Tell whether the deadline ended the run."""
        return self.killed is KillReason.DEADLINE

    @property
    def succeeded(self) -> bool:
        """Tell whether the program ended by itself with status 0 and nothing of its output is missing."""
        return (
            self.killed is None
            and self.returncode == 0
            and not self.stdout_truncated
            and not self.stderr_truncated
        )


def make_result(
    returncode: int,
    stdout: bytes,
    stderr: bytes,
    *,
    truncated: tuple[bool, bool],
    killed: KillReason | None,
    duration_s: float,
) -> SandboxResult:
    """Return the result, reading a signal out of the exit status.

    Args:
        returncode: an exit status, ``128 + n`` or ``-n`` for signal n.
        truncated: whether standard output and standard error were cut.
    """
    status = 128 - returncode if returncode < 0 else returncode
    return SandboxResult(
        returncode=status,
        signal=status - 128 if 128 < status <= 128 + 64 else None,
        stdout=stdout,
        stderr=stderr,
        stdout_truncated=truncated[0],
        stderr_truncated=truncated[1],
        killed=killed,
        duration_s=duration_s,
    )


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def check_command(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Refuse a command that could not be handed over whole.

    Args:
        argv: program and arguments; the program is an absolute path, or a name without a slash that is looked up in
            the sandbox's own search path.

    Raises:
        SandboxError: no program, one that looks like an option or is relative, a NUL, a wrong variable, too long.
    """
    if not 1 <= len(argv) <= MAX_ARGUMENTS:
        raise SandboxError(f"a command has 1 to {MAX_ARGUMENTS} words, not {len(argv)}")
    for text in (*argv, *env.values()):
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise SandboxError("the command or a variable holds what is no text (UTF-8)") from error
        if "\0" in text or size > MAX_ARGUMENT_BYTES:
            raise SandboxError(
                f"the command or a variable holds a NUL or is longer than {MAX_ARGUMENT_BYTES} bytes"
            )
    for name in env:
        if _VARIABLE.fullmatch(name) is None:
            raise SandboxError(f"{name!r} is no name of a variable")
    program = argv[0]
    if not program or program.startswith("-") or ("/" in program and not program.startswith("/")):
        raise SandboxError(
            f"{program!r} is no program to run",
            hint="Name it by its absolute path in the sandbox, or by its name alone.",
        )
