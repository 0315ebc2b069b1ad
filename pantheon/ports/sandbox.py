"""The seam to whatever confines code of the repository while it runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pantheon.core.sandbox import SandboxKind, SandboxLimits, SandboxResult


class Sandbox(Protocol):
    """Runs programs that nobody trusts."""

    @property
    def kind(self) -> SandboxKind:
        """What confines the programs; the report says so when it is nothing."""
        ...

    async def run(
        self,
        argv: Sequence[str],
        tree: Path,
        limits: SandboxLimits,
        *,
        env: Mapping[str, str] | None = None,
    ) -> SandboxResult:
        """Run one program in the candidate tree and return what became of it; nothing of it is alive afterwards.

        Args:
            argv: program and arguments, never a shell line. The program is absolute, or a name without a slash.
            tree: an existing folder; the program's working folder and the only one that it can write. Not in use
                by another run.
            limits: ceilings of the run.
            env: variables beside the sandbox's own few. Never a secret: the program is not trusted.

        Raises:
            SandboxError: the program could not be run in the way that was asked for. That a program failed, was
                killed or flooded its output is a result, not an error.

        Cancellation:
            Everything in the sandbox has been killed when the cancellation leaves here.
        """
        ...
