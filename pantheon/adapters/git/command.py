"""Run git so that nothing in a repository or in the user's configuration can run code.

The environment is built from nothing; system and user configuration, attributes, hooks, the file-system
monitor, prompts and every transport are off; arguments are lists, never a shell line.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pantheon.core.errors import GitError

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.autocrlf=false",
    "core.quotePath=false",
    "core.symlinks=true",
    "protocol.allow=never",
    "submodule.recurse=false",
    "commit.gpgSign=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "merge.renames=true",
    "diff.algorithm=histogram",
)


def git_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the whole environment of a git process."""
    return {
        "PATH": os.defpath,
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ADVICE": "0",
        **(extra or {}),
    }


class GitRunner:
    """Runs git commands against one git directory.

    Args:
        git_dir: the directory that every command is bound to.
        timeout_s: seconds after which a command is killed.
    """

    def __init__(self, git_dir: Path, *, timeout_s: float = 120.0) -> None:
        self.git_dir = git_dir
        self._timeout_s = timeout_s

    async def run(
        self,
        *args: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        ok: Sequence[int] = (0,),
    ) -> tuple[int, bytes]:
        """Return (exit status, standard output).

        Raises:
            GitError: the status is not one of ``ok``, the time is up, or git is not there.

        Cancellation:
            The process is killed and reaped.
        """
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        command = ["git", "--no-pager", *settings, *args]
        environment = git_environment({"GIT_DIR": str(self.git_dir), **(env or {})})
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                cwd="/",
            )
        except FileNotFoundError as error:
            raise GitError("git is not installed", hint="Install git 2.38 or newer.") from error
        try:
            async with asyncio.timeout(self._timeout_s):
                out, err = await process.communicate(stdin)
        except TimeoutError as error:
            raise GitError(f"git {args[0]} did not finish within {self._timeout_s:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        status = process.returncode
        if status is None or status not in ok:
            said = err.decode("utf-8", "replace").strip()[:500]
            raise GitError(f"git {args[0]} failed ({status}): {said}")
        return status, out

    async def text(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """Return standard output without its last newline. Raises as ``run`` does."""
        _, out = await self.run(*args, stdin=stdin, env=env)
        return out.decode("utf-8", "surrogateescape").rstrip("\n")
