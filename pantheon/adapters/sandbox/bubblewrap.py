"""``ports.sandbox.Sandbox`` over bubblewrap.

bubblewrap itself is started with an empty environment: the first process of the sandbox is bubblewrap, and every
program in there can read what that one was started with (``/proc/1/environ``), whatever ``--clearenv`` says.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pantheon.adapters.probes import find_program
from pantheon.adapters.sandbox.candidate import Candidate
from pantheon.adapters.sandbox.process import Launch, run_process
from pantheon.adapters.sandbox.seccomp import FilterPrograms, compile_filters
from pantheon.adapters.sandbox.undertaker import Bubble
from pantheon.adapters.threads import run_to_end
from pantheon.core.bubblewrap import (
    IDS_PER_PROCESS,
    Confinement,
    FileDescriptors,
    Identity,
    ReadOnlyBind,
    build_command,
    build_options,
    decide_identity,
    etc_files,
)
from pantheon.core.errors import PreflightError, SandboxError
from pantheon.core.sandbox import SandboxKind, SandboxLimits, SandboxResult, check_command
from pantheon.ports.clock import Clock

INSTALL = "Debian, Ubuntu: apt-get install bubblewrap libseccomp2 util-linux."
_NEEDED = ("--add-seccomp-fd", "--json-status-fd", "--size", "--perms", "--cap-drop", "--block-fd")
_QUESTION_S = 10


@dataclass(frozen=True)
class Bubblewrap:
    """The installed program."""

    path: str
    version: str
    disable_userns: bool
    """Whether it knows ``--disable-userns``."""


class BubblewrapSandbox:
    """Runs each program in namespaces of its own.

    Args:
        found: which bubblewrap.
        filters: the system-call filters.
        reads: what the programs may read beside the system and the tree.
        search_path: folders before the system's own on the programs' search path.
    """

    kind = SandboxKind.BUBBLEWRAP

    def __init__(
        self,
        found: Bubblewrap,
        filters: FilterPrograms,
        clock: Clock,
        *,
        reads: Sequence[ReadOnlyBind] = (),
        search_path: Sequence[str] = (),
    ) -> None:
        self._found = found
        self._clock = clock
        self.filters = (filters.known, filters.refused)
        """The system-call filters, in the order of loading."""
        self._reads = tuple(reads)
        self._search_path = tuple(search_path)
        self._uid_map = Path("/proc/self/uid_map").read_text(encoding="ascii")
        self._slots = list(range(IDS_PER_PROCESS))
        self._room = asyncio.Semaphore(IDS_PER_PROCESS)

    @property
    def version(self) -> str:
        """bubblewrap's own word for its version."""
        return self._found.version

    async def run(
        self, argv: Sequence[str], tree: Path, limits: SandboxLimits, *, env: Mapping[str, str] | None = None
    ) -> SandboxResult:
        check_command(tuple(argv), env or {})
        async with self._identity() as identity:
            candidate = Candidate(tree, identity)
            try:
                await run_to_end(candidate.take)
                confinement = Confinement(
                    tree=str(tree),
                    git=candidate.git,
                    identity=identity,
                    limits=limits,
                    env=dict(env or {}),
                    reads=self._reads,
                    search_path=self._search_path,
                    disable_userns=self._found.disable_userns,
                )
                return await self._run(confinement, argv)
            finally:
                await run_to_end(candidate.give_back)

    async def _run(self, confinement: Confinement, argv: Sequence[str]) -> SandboxResult:
        with ExitStack() as kept, ExitStack() as given:
            heard, status = _pipe(kept, given)
            waits, admits = _pipe(given, kept)
            filters = [_memory(given, program) for program in self.filters]
            etc = etc_files(confinement.identity)
            files = {path: _memory(given, content) for path, content in etc.items()}
            descriptors = FileDescriptors(status=status, block=waits, filters=tuple(filters), files=files)
            options = "\0".join(build_options(confinement, descriptors)).encode() + b"\0"
            told = _memory(given, options)
            bubble = Bubble(heard, admits)

            def admit() -> None:
                given.close()  # with its own copies open, this process would not see that bubblewrap has ended
                bubble.admit(confinement.limits)

            launch = Launch(
                command=(
                    *(self._found.path, "--args", str(told), "--"),
                    *build_command(confinement.identity, argv),
                ),
                admit=admit,
                bury=bubble.bury,
                env={},
                tree=Path(confinement.tree),
                inherit=(status, waits, told, *filters, *files.values()),
                makes_session=True,
            )
            result = await run_process(launch, confinement.limits, self._clock)
        if result.killed is None and not bubble.ran:
            why = result.stderr[:500].decode("utf-8", "replace").strip()
            raise SandboxError(f"bubblewrap could not make the sandbox: {why or 'it does not say why'}")
        return result

    @asynccontextmanager
    async def _identity(self) -> AsyncIterator[Identity]:
        async with self._room:
            slot = self._slots.pop()
            try:
                yield decide_identity(os.geteuid(), self._uid_map, pid=os.getpid(), slot=slot)
            finally:
                self._slots.append(slot)


def open_bubblewrap(
    clock: Clock, *, reads: Sequence[ReadOnlyBind] = (), search_path: Sequence[str] = ()
) -> BubblewrapSandbox:
    """Find bubblewrap and compile the filters; blocks for some 50 ms.

    Whether the sandbox also works on this machine is ``probe.prove_sandbox``'s question.

    Raises:
        PreflightError: a part is missing or too old.
    """
    return BubblewrapSandbox(
        find_bubblewrap(), compile_filters(), clock, reads=reads, search_path=search_path
    )


def find_bubblewrap() -> Bubblewrap:
    """Find what is needed beside the filters. Raises ``PreflightError``: a part is missing or too old."""
    for name in ("bwrap", "setpriv"):
        if find_program(name) is None:
            raise PreflightError(
                f"{name} is not installed; code of the repository runs in bubblewrap or not at all",
                hint=INSTALL,
            )
    path = str(Path(find_program("bwrap") or "bwrap").absolute())
    options, version = _ask(path, "--help"), _ask(path, "--version")
    missing = [option for option in _NEEDED if option not in options]
    if missing:
        raise PreflightError(
            f"{path} is too old: it does not know {', '.join(missing)}", hint="Use bubblewrap 0.8 or newer."
        )
    return Bubblewrap(path, version.strip(), "--disable-userns" in options)


def _ask(path: str, question: str) -> str:
    try:
        return subprocess.run(
            [path, question], capture_output=True, text=True, env={}, timeout=_QUESTION_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise PreflightError(f"{path} does not work: {error}", hint=INSTALL) from error


def _memory(stack: ExitStack, content: bytes) -> int:
    """Return a descriptor that reads ``content``, without a file of any name; closed with ``stack``."""
    number = os.memfd_create("pantheon", os.MFD_CLOEXEC)
    stack.callback(os.close, number)
    os.write(number, content)
    os.lseek(number, 0, os.SEEK_SET)
    return number


def _pipe(reading: ExitStack, writing: ExitStack) -> tuple[int, int]:
    """Return a pipe's reading and writing end, each closed with its stack."""
    heard, said = os.pipe2(os.O_CLOEXEC)
    reading.callback(os.close, heard)
    writing.callback(os.close, said)
    return heard, said
