"""``ports.forge.Forge`` through programs of the user's: git to push, and ``gh`` or ``glab`` to open a pull request.

By day and on a person's word alone. They run with the user's own environment, because they need the user's own
credentials; but no hook of the repository runs, nothing is forced, and what they answer is captured: a remote
speaks to nobody's terminal past the door.
"""

import asyncio
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pantheon.adapters.git.command import find_git
from pantheon.core.errors import GitError

PUSH_S, REQUEST_S = 600.0, 120.0
MAX_SAID = 600
_URL = re.compile(r"https?://[^\s\x00-\x1f]{1,500}")
_OWN = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
)
Kind = Literal["gh", "glab"]


class CliForge:
    """One remote, and the program that speaks with its forge.

    Args:
        root: the user's work tree.
        remote: name of the remote.
        program: absolute path of ``gh`` or ``glab``.
        kind: which of both.
        environment: the user's.
    """

    def __init__(
        self, root: Path, remote: str, program: str, kind: Kind, environment: Mapping[str, str]
    ) -> None:
        self._root = root
        self._remote = remote
        self._program = program
        self._kind: Kind = kind
        self._environment = {name: value for name, value in environment.items() if name not in _OWN}

    @property
    def name(self) -> str:
        return f"{self._remote} with {self._kind}"

    async def push(self, branch: str, commit: str) -> None:
        settings = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "push.followTags=false",
                    "push.recurseSubmodules=no", "push.gpgSign=false")  # fmt: skip
        told = [part for one in settings for part in ("-c", one)]
        await self._run(
            find_git(), *told, "push", "--no-verify", "--no-progress", "--quiet", "--", self._remote,
            f"{commit}:refs/heads/{branch}", limit_s=PUSH_S,
        )  # fmt: skip

    async def open_request(self, branch: str, target: str, title: str, body: Path) -> str:
        words: tuple[str, ...]
        if self._kind == "gh":
            words = (
                "pr",
                "create",
                f"--head={branch}",
                f"--base={target}",
                f"--title={title}",
                f"--body-file={body}",
            )
        else:
            text = await asyncio.to_thread(body.read_text, encoding="utf-8")
            words = (
                "mr", "create", f"--source-branch={branch}", f"--target-branch={target}", f"--title={title}",
                f"--description={text}", "--yes",
            )  # fmt: skip
        try:
            said = await self._run(self._program, *words, limit_s=REQUEST_S)
        except GitError as error:
            # A second time goes on with what the first one opened.
            if "already exists" not in error.message:
                raise
            said = error.message
        found = _URL.findall(said)
        return found[-1] if found else f"{self._remote}: {branch}"

    async def _run(self, program: str, *args: str, limit_s: float) -> str:
        name = f"{Path(program).name} {next((one for one in args if one in ('push', 'pr', 'mr')), args[0])}"
        quiet = {"GH_PROMPT_DISABLED": "1", "NO_PROMPT": "1", "NO_COLOR": "1", "GIT_ADVICE": "0"}
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *args,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**self._environment, **quiet},
                cwd=self._root,
            )
        except OSError as error:
            raise GitError(f"{name} could not be started: {error.strerror or error}") from error
        try:
            async with asyncio.timeout(limit_s):
                out, err = await process.communicate()
        except TimeoutError as error:
            raise GitError(f"{name} did not finish within {limit_s:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            said = " ".join((err or out).decode("utf-8", "replace").split())[:MAX_SAID]
            raise GitError(f"{name} failed ({process.returncode}): {said}")
        return out.decode("utf-8", "replace")


def find_program(kind: Kind, environment: Mapping[str, str]) -> str | None:
    """Return the absolute path of ``gh`` or ``glab`` on the user's PATH; None where it is not there."""
    found = shutil.which(kind, path=environment.get("PATH", ""))
    return None if found is None else str(Path(found).absolute())


def write_requests(folder: Path, texts: Sequence[tuple[str, Mapping[str, bytes]]]) -> None:
    """Write one folder a group, each with its files; nothing is ever replaced.

    Raises:
        GitError: something is there already, or the disk refuses.
    """
    try:
        for name, files in texts:
            (folder / name).mkdir(parents=True, mode=0o755)
            for file, data in files.items():
                with (folder / name / file).open("xb") as out:
                    out.write(data)
    except OSError as error:
        raise GitError(f"{error.filename or folder}: {error.strerror}") from error
