"""The signer as a process: holds the user's key and a night's keys in memory, and answers on a Unix socket.

As a night's own child it ends with its parent, whatever ends that: the kernel kills it, and its standard input ends.
Its memory can be read by no other process of the user, and never reaches the disk as a core.
"""

import asyncio
import ctypes
import os
import resource
import signal
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.night_keys import HeldKeys
from pantheon.adapters.signer_server import Admission, SignerServer, listen
from pantheon.core.errors import SignatureError

READY = b"ready\n"
"""What the child says on standard output when it answers."""
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4


def harden_process() -> None:
    """Keep other processes of this user out of this one's memory, and its memory out of core files.

    Raises:
        SignatureError: the kernel refuses.
    """
    _prctl(PR_SET_DUMPABLE, 0)
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError) as error:
        raise SignatureError(f"core files cannot be forbidden: {error}") from error


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies.

    Raises:
        SignatureError: it is gone already.
    """
    _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        raise SignatureError("the night that wanted a signer is gone")


async def run_signer(
    user_key: Ed25519PrivateKey,
    path: Path,
    admission: Admission,
    *,
    tell: Callable[[str], None],
    child: bool,
) -> None:
    """Answer until a signal, or as a child until standard input ends.

    Args:
        user_key: the user's private key.
        path: where the socket is made; removed on the way out.
        admission: whom it answers.
        tell: told of refusals.
        child: whether the parent waits for ``READY`` and holds standard input open.

    Raises:
        SignatureError: no socket can be made there.
    """
    listening = listen(path, admission.uid)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(one, stopped.set)
    if child:
        os.set_blocking(0, False)
        loop.add_reader(0, _watch_input, stopped)
    server = SignerServer(HeldKeys(user_key, SystemClock()), admission, tell)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(
                server.serve(listening, lambda: _say_ready() if child else None), name="signer"
            )
            await stopped.wait()
            serving.cancel()
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


def remove_stale_socket(path: Path) -> None:
    """Remove a socket that a signer left behind which is gone.

    Raises:
        SignatureError: somebody answers there, or it is no socket.
    """
    try:
        # A file that is no socket refuses a connection too, with the same words as a socket that nobody serves.
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SignatureError(f"{path} is in the way: it is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise SignatureError(f"{path} is in the way: {error.strerror}") from error
    raise SignatureError(f"a signer answers at {path} already")


def _watch_input(stopped: asyncio.Event) -> None:
    with suppress(BlockingIOError):
        if not os.read(0, 4_096):
            stopped.set()


def _say_ready() -> None:
    os.write(1, READY)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise SignatureError(f"prctl: {os.strerror(ctypes.get_errno())}")
