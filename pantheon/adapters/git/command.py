"""Run git so that nothing in a repository or in the user's configuration can run code.

The environment is built from nothing; system and user configuration, attributes, hooks, the file-system
monitor, prompts and every transport are off; arguments are lists, never a shell line.
"""

import asyncio
import functools
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from pantheon.adapters.finishing import finish, take
from pantheon.core.errors import GitError

PLAIN_READING = (
    "i18n.logOutputEncoding=UTF-8",
    "i18n.commitEncoding=UTF-8",
    "trailer.separators=:",
    "core.commentChar=#",
)
"""Settings of a repository that would change what a commit seems to say."""
END_S = 2.0
"""Seconds for a git to end that was told to."""
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.autocrlf=false",
    "core.quotePath=false",
    "core.symlinks=true",
    # The store calls a node finished, and a branch moves, only over objects that a power loss leaves.
    "core.fsync=committed,loose-object",
    "protocol.allow=never",
    "submodule.recurse=false",
    "commit.gpgSign=false",
    "log.showSignature=false",
    # How commits are read must not depend on how their reader likes to see or write them.
    *PLAIN_READING,
    "gpg.program=/bin/false",
    "gpg.ssh.program=/bin/false",
    "gpg.x509.program=/bin/false",
    "gc.auto=0",
    "maintenance.auto=false",
    "merge.renames=true",
    "diff.algorithm=histogram",
)


@functools.cache
def find_git() -> str:
    """Return the absolute path of git, found once on the PATH this process was started with.

    Raises:
        GitError: it is not there.
    """
    found = shutil.which("git")
    if found is None:
        raise GitError(
            "git is not installed, or not on the PATH",
            hint="Install git 2.38 or newer, or add its folder to PATH.",
        )
    return str(Path(found).absolute())


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
        # A missing object must not be fetched: what fetches is named by the repository. The list of transports
        # that are allowed outranks any configuration; an empty one allows none.
        "GIT_ALLOW_PROTOCOL": "",
        "GIT_NO_LAZY_FETCH": "1",
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
        into: BinaryIO | None = None,
        keep: Sequence[int] = (),
        timeout_s: float | None = None,
    ) -> tuple[int, bytes]:
        """Return (exit status, standard output).

        Args:
            args: the command and its arguments.
            stdin: its standard input.
            env: variables beside the closed environment.
            ok: statuses that are no error.
            into: a file that takes standard output instead.
            keep: descriptors that the process inherits.
            timeout_s: seconds for this command, where the runner's are not right.

        Raises:
            GitError: the status is not one of ``ok``, the time is up, or git is not there.

        Cancellation:
            The process has ended: it was told to, which lets it take its locks away, or killed.
        """
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        command = [find_git(), "--no-pager", *settings, *args]
        environment = git_environment({"GIT_DIR": str(self.git_dir), **(env or {})})
        try:
            process = await take(
                asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE if into is None else into,
                    stderr=asyncio.subprocess.PIPE,
                    env=environment,
                    cwd="/",
                    pass_fds=tuple(keep),
                ),
                _end,
                name=f"start git {args[0]}",
            )
        except OSError as error:
            raise GitError(f"git {args[0]} could not be started: {error.strerror or error}") from error
        except ValueError as error:
            raise GitError(f"git {args[0]} was given what no process can be given: {error}") from error
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(limit_s):
                out, err = await process.communicate(stdin)
        except TimeoutError as error:
            raise GitError(f"git {args[0]} did not finish within {limit_s:.0f} s") from error
        finally:
            if process.returncode is None:
                await finish(_end(process), name=f"end git {args[0]}")
        status = process.returncode
        if status is None or status not in ok:
            said = err.decode("utf-8", "replace").strip()[:500]
            raise GitError(f"git {args[0]} failed ({status}): {said}")
        return status, out or b""

    async def text(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """Return standard output without its last newline. Raises as ``run`` does."""
        _, out = await self.run(*args, stdin=stdin, env=env)
        return out.decode("utf-8", "surrogateescape").rstrip("\n")


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a git that may still be at work: a killed one would leave its locks behind, and nobody could lock again."""
    if process.returncode is None:
        process.terminate()
    # Read to the end what it still says: a pipe that nobody reads any more never ends, nor does the wait for it.
    try:
        async with asyncio.timeout(END_S):
            await process.communicate()
    except TimeoutError:
        if process.returncode is None:
            process.kill()
        await process.communicate()
