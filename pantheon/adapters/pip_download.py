"""Gets one wheel with ``pip download``: the door through which the installation itself came.

Invariants:
- the wheel is data: nothing of it is imported, installed or built, and no dependency follows it;
- pip is this interpreter's own, never a module of that name in the current folder;
- pip's environment is an allow-list: the user's pip settings, proxies and certificates, nothing else;
- pip and what it starts are gone when the call ends, however it ends.
"""

import asyncio
import importlib.util
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pantheon.core.errors import ArtifactError

PART_TIMEOUT_S = 1_800
STDERR_BYTES = 8_192

_NAMES = frozenset(
    "HOME LANG LC_ALL LC_CTYPE LOGNAME NETRC PATH USER XDG_CONFIG_DIRS XDG_CONFIG_HOME "
    "SSL_CERT_DIR SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE".split()
)
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})


class WheelFetcher(Protocol):
    """Gets wheels by exact name and version."""

    async def download(self, package: str, version: str, folder: Path, *, max_bytes: int) -> Path:
        """Put one wheel into ``folder`` and return its path.

        Args:
            package: name of the package.
            version: exact version.
            folder: empty; everything the fetcher writes is in it.
            max_bytes: ceiling for every file that is written.

        Raises:
            ArtifactError: it cannot be had.

        Cancellation:
            Nothing keeps running; the folder may hold part of a wheel.
        """
        ...


class PipFetcher:
    """``WheelFetcher`` over the running interpreter's pip.

    Args:
        environment: the user's environment; an allow-list of it is passed on.
        timeout_s: seconds that one wheel may take.
        command: what starts pip.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        timeout_s: float = PART_TIMEOUT_S,
        command: Sequence[str] = (sys.executable, "-P", "-m", "pip"),
    ) -> None:
        self._environment = allowed_environment(environment)
        self._timeout_s = timeout_s
        self._command = tuple(command)

    async def download(self, package: str, version: str, folder: Path, *, max_bytes: int) -> Path:
        if self._command[0] == sys.executable and importlib.util.find_spec("pip") is None:
            raise ArtifactError(
                f"{sys.executable} has no pip",
                hint=f"Mend it with: {sys.executable} -m ensurepip --upgrade",
            )
        scratch = folder / "tmp"
        options = (
            "download --quiet --no-deps --only-binary=:all: --no-cache-dir --no-input --progress-bar=off "
            "--disable-pip-version-check --no-python-version-warning"
        )
        wanted = f"{package}=={version}"
        try:
            scratch.mkdir()
            process = await asyncio.create_subprocess_exec(
                *self._command, *options.split(), "--dest", str(folder), wanted,
                cwd=folder,
                env={**self._environment, "TMPDIR": str(scratch)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ArtifactError(f"pip cannot be started: {error}") from error
        said = await self._attend(process, wanted, max_bytes)
        if process.returncode:
            raise ArtifactError(
                f"pip could not download {wanted} (exit {process.returncode})",
                hint=_last_lines(said),
                package=package,
            )
        return await asyncio.to_thread(_only_wheel, folder, wanted)

    async def _attend(self, process: asyncio.subprocess.Process, wanted: str, max_bytes: int) -> bytes:
        said = b""
        try:
            _limit_files(process.pid, max_bytes)
            async with asyncio.timeout(self._timeout_s):
                assert process.stderr is not None
                while chunk := await process.stderr.read(STDERR_BYTES):
                    said = (said + chunk)[-STDERR_BYTES:]
                await process.wait()
        except TimeoutError as error:
            raise ArtifactError(
                f"pip did not finish {wanted} within {self._timeout_s:.0f} s",
                hint="Try again: what is done is kept.",
            ) from error
        finally:
            if process.returncode is None:
                _kill_group(process.pid)
                await process.wait()
        return said


def allowed_environment(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return what pip may see: its own settings, proxies, certificates, and where home is."""
    return {
        name: value
        for name, value in environment.items()
        if name in _NAMES or name.lower() in _PROXIES or name.startswith("PIP_")
    }


def _only_wheel(folder: Path, wanted: str) -> Path:
    wheels = [path for path in folder.glob("*.whl") if path.is_file() and not path.is_symlink()]
    if len(wheels) != 1:
        raise ArtifactError(f"pip left {len(wheels)} wheels for {wanted}, not one")
    return wheels[0]


def _limit_files(pid: int, max_bytes: int) -> None:
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (max_bytes, max_bytes))
    except ProcessLookupError:
        return  # it has ended already; its exit code says how


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # gone by itself in the meantime


def _last_lines(said: bytes) -> str:
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    return "\n  ".join(line[:300] for line in lines[-4:])
