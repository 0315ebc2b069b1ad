"""Open what lies below a folder, and nothing else: the kernel itself resolves the path and refuses to leave.

Invariants:
- one ``openat2`` with ``RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV`` opens a path,
  so there is no moment between looking and opening in which a link could be put in its place;
- a file is judged after it was opened, by its descriptor: regular, with one name, or refused;
- nothing that is opened can make the caller wait: a FIFO is opened without a writer, and then refused;
- a kernel without ``openat2`` is a ``SandboxError``. There is no second way to open a path.

What leaves here otherwise is ``OSError``, as the system calls have it; the caller knows what to call the path.
A leading ``~`` or ``-`` means nothing here: it is a letter of a name. So is a control character, because a repository
may have such names; that a tool may not write them is ``core.task.check_relative_path``'s.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Sequence

from pantheon.core.errors import PreflightError, SandboxError

MAX_PATH_BYTES = 4096
"""With the NUL that ends it."""
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OPENAT2 = 437
_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08  # NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH
_MODE_BITS = 0o7777
_MISSING = "this kernel cannot keep file access beneath a folder (openat2)"
_MEND = "Use Linux 5.6 or newer; in a container, let its seccomp profile allow openat2."


class _How(ctypes.Structure):
    """``struct open_how`` of ``linux/openat2.h``."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_HOW_BYTES = ctypes.c_size_t(ctypes.sizeof(_How))
_NUMBER = ctypes.c_long(_OPENAT2)


def require_openat2() -> None:
    """Open a folder beneath the root of all. Raises ``PreflightError`` when the kernel cannot, or may not."""
    top = os.open("/", FOLDER)
    try:
        os.close(open_beneath(top, ".", FOLDER))
    except (OSError, SandboxError) as error:
        raise PreflightError(_MISSING, hint=_MEND) from error
    finally:
        os.close(top)


def open_beneath(folder: int, path: str, flags: int, mode: int = 0) -> int:
    """Return a descriptor of ``path`` below ``folder``; the caller closes it.

    Args:
        folder: descriptor of the folder that nothing leads out of.
        path: relative; ``.`` is the folder itself.
        flags: as ``os.open`` takes them; ``O_CLOEXEC`` and ``O_NOFOLLOW`` are added.
        mode: of a file that is created.

    Raises:
        OSError: the path is none that can be below (``EINVAL``), has a link on it (``ELOOP``), leads out or onto
            another file system (``EXDEV``), or cannot be opened.
        SandboxError: the kernel has no ``openat2``.
    """
    name = _checked(path)
    how = _How(flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode & _MODE_BITS if flags & os.O_CREAT else 0, _RESOLVE)
    while True:
        handle = int(_libc.syscall(_NUMBER, ctypes.c_int(folder), name, ctypes.byref(how), _HOW_BYTES))
        if handle >= 0:
            return handle
        number = ctypes.get_errno()
        if number == errno.ENOSYS:
            raise SandboxError(_MISSING, hint=_MEND)
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number), path)


def open_regular(folder: int, path: str) -> int:
    """Return a descriptor, to read, of a regular file that has no other name. Raises as ``open_beneath``."""
    handle = open_beneath(folder, path, _READ)
    try:
        check_regular(os.fstat(handle))
    except BaseException:
        os.close(handle)
        raise
    return handle


def check_regular(found: os.stat_result) -> None:
    """Refuse what is no regular file, or has a second name somewhere else. Raises ``OSError``."""
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if found.st_nlink > 1:
        raise OSError(errno.EMLINK, "has other hard links")


def read_up_to(handle: int, limit: int) -> bytes:
    """Return up to ``limit`` bytes of an open file. Raises ``OSError``."""
    found = bytearray()
    while len(found) < limit and (piece := os.read(handle, limit - len(found))):
        found += piece
    return bytes(found)


def open_folder(root: int, parts: Sequence[str], *, create: bool = False) -> int:
    """Return a descriptor of a folder below ``root``; the caller closes it.

    Args:
        root: descriptor of where the way begins.
        parts: names of the folders on the way, outermost first.
        create: make those that are missing.

    Raises:
        OSError: a part is missing, a link, or no folder.
        SandboxError: the kernel has no ``openat2``.
    """
    try:
        return open_beneath(root, "/".join(parts) or ".", FOLDER)
    except FileNotFoundError:
        if not create:
            raise
    for count in range(1, len(parts)):
        _make(root, parts[:count])
    _make(root, parts)
    return open_beneath(root, "/".join(parts), FOLDER)


def _make(root: int, parts: Sequence[str]) -> None:
    above = open_beneath(root, "/".join(parts[:-1]) or ".", FOLDER)
    try:
        os.mkdir(parts[-1], 0o755, dir_fd=above)
    except FileExistsError:
        pass
    finally:
        os.close(above)


def _checked(path: str) -> bytes:
    """Return the bytes of a path that may be below a folder; the kernel would cut it at a NUL."""
    name = os.fsencode(path)
    if (
        not 0 < len(name) < MAX_PATH_BYTES
        or name.startswith(b"/")
        or b"\0" in name
        or b".." in name.split(b"/")
    ):
        raise OSError(errno.EINVAL, "not a path below the folder", path)
    return name
