"""A private folder for one Unix socket: an address that cannot collide and that nobody else can reach.

Invariants:
- the folder is fresh, has mode 0700, and its path leaves room for a socket's name in 100 bytes;
- it is locked while its owner lives, so that what a killed owner left is told from what is in use, and removed.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from pantheon.core.errors import ModelError

PREFIX = "pantheon-llama-"
MAX_PATH_BYTES = 99
YOUNG = timedelta(seconds=60)
"""A folder of this age may not be locked yet."""


@contextmanager
def socket_folder(environment: Mapping[str, str], now: datetime, *, prefix: str = PREFIX) -> Iterator[Path]:
    """Make a folder for a socket and remove it on exit.

    Args:
        environment: ``XDG_RUNTIME_DIR``, else ``TMPDIR``, else ``/tmp`` is where the folder is made.
        now: to tell what a killed process left from what another one is just making.
        prefix: what the folder's name begins with.

    Raises:
        ModelError: no place can take it.
    """
    folder = _make(environment, prefix)
    try:
        descriptor = _lock(folder)
        try:
            _sweep(folder.parent, now, prefix)
            yield folder
        finally:
            os.close(descriptor)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> int:
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be locked: {error.strerror}") from error
    return descriptor


def _make(environment: Mapping[str, str], prefix: str) -> Path:
    refused = []
    for base in (environment.get("XDG_RUNTIME_DIR", ""), environment.get("TMPDIR", ""), "/tmp"):
        if not base.startswith("/"):
            continue
        if len(os.fsencode(base)) + len(f"/{prefix}12345678/s.sock") > MAX_PATH_BYTES:
            refused.append(f"{base}: its path is too long for a socket")
            continue
        try:
            return Path(tempfile.mkdtemp(prefix=prefix, dir=base))
        except OSError as error:
            refused.append(f"{base}: {error.strerror}")
    raise ModelError("no folder for a socket: " + "; ".join(refused), hint="Set TMPDIR.")


def _sweep(base: Path, now: datetime, prefix: str) -> None:
    for folder in base.glob(prefix + "*"):
        try:
            found = folder.lstat()
            if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
                continue
            if now.timestamp() - found.st_mtime < YOUNG.total_seconds():
                continue
            descriptor = os.open(folder / "lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # not ours to judge
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # its owner lives
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
