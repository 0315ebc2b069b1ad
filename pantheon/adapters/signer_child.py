"""Starts the night's own signer: a child process on a Unix socket in a folder of its own."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from pantheon.adapters.own_files import open_log, read_end
from pantheon.adapters.signer_client import SocketSigner
from pantheon.adapters.signer_process import READY
from pantheon.adapters.socket_folder import socket_folder
from pantheon.adapters.threads import take_in_thread
from pantheon.core.errors import ModelError, SignatureError
from pantheon.ports.clock import Clock

ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "XDG_CONFIG_HOME")
PREFIX = "pantheon-signer-"
READY_S, GRACE_S = 60.0, 3.0


@asynccontextmanager
async def signer_child(
    key: Path, *, outside: Path, log: Path, environment: Mapping[str, str], clock: Clock
) -> AsyncIterator[SocketSigner]:
    """Run a signer for the length of a ``with``; its keys end with it, and it ends with this process.

    Args:
        key: the user's key; made when there is none.
        outside: folder the key must not be in, the repository.
        log: file that refusals are added to; made with its folder where it is missing.
        environment: the process's environment; the child gets an allow-list of it.
        clock: for the socket's folder.

    Raises:
        SignatureError: it does not start; the message is its own.
    """
    try:
        with socket_folder(environment, clock.now(), prefix=PREFIX) as folder:
            process = await _start(folder / "s.sock", key, outside, log, environment)
            try:
                await _wait_ready(process, log)
                signer = await SocketSigner.connect(folder / "s.sock", pid=process.pid)
                try:
                    yield signer
                finally:
                    await signer.aclose()
            finally:
                await _stop(process)
    except ModelError as error:
        raise SignatureError(f"no signer can be started: {error.message}", hint=error.hint) from error


async def _start(
    path: Path, key: Path, outside: Path, log: Path, environment: Mapping[str, str]
) -> asyncio.subprocess.Process:
    words = ["--socket", str(path), "--key", str(key), "--outside", str(outside), "--child"]
    if threading.current_thread() is threading.main_thread():
        # The kernel's signal comes when the thread that started the child ends: only the main one lives long enough.
        words += ["--parent", str(os.getpid())]
    try:
        with os.fdopen(await take_in_thread(lambda: open_log(log), os.close), "ab") as file:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "pantheon", "signer", *words,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=file,
                env={name: environment[name] for name in ENVIRONMENT if name in environment},
                cwd="/", start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise SignatureError(f"the signer cannot be started{where}: {error.strerror or error}") from error


async def _wait_ready(process: asyncio.subprocess.Process, log: Path) -> None:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_S):
            said = await process.stdout.readline()
    except TimeoutError as error:
        raise SignatureError(f"the signer was not ready in {READY_S:.0f} s; see {log}") from error
    if said != READY:
        raise SignatureError(f"the signer did not start: {await asyncio.to_thread(_last_words, log)}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(GRACE_S):
            await process.wait()
    except (TimeoutError, asyncio.CancelledError) as error:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if isinstance(error, asyncio.CancelledError):
            raise


def _last_words(log: Path) -> str:
    try:
        lines = read_end(log, 4_000).decode("utf-8", "replace").strip().splitlines()
    except OSError as error:
        return f"{log}: {error.strerror}"
    return " ".join(line.strip() for line in lines[-2:]) or f"see {log}"
