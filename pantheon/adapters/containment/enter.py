"""Leaves for a network namespace that holds nothing, without root, keeping every file's owner.

Invariants:
- user ids inside are the ids outside: root keeps all that it had, anybody else keeps the one that is its own;
- the sockets of name services, message buses and container engines are hidden, for they would act for the night;
- the caller's process is changed and no other is left behind; it is to be replaced by ``exec`` at once, so that what
  an ordinary user was given to set this up is given up again.
"""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from pantheon.adapters.containment import kernel
from pantheon.adapters.containment.hindrance import mend_refusal
from pantheon.core.errors import PreflightError

OUTSIDE_SERVICES = (
    "/run/avahi-daemon", "/run/containerd", "/run/crio", "/run/dbus", "/run/docker.sock", "/run/lxd", "/run/nscd",
    "/run/podman", "/run/snapd.socket", "/run/snapd-snap.socket", "/run/sssd", "/run/systemd/machine",
    "/run/systemd/private", "/run/systemd/resolve", "/tmp/.X11-unix", "/var/lib/lxd/unix.socket", "/var/lib/sss/pipes",
)  # fmt: skip
"""Folders and sockets of services that resolve names, start programs or open connections for whoever asks."""
USER_SERVICES = ("bus", "docker.sock", "podman", "systemd/private")
"""The same, below ``/run/user/UID``."""
NAMESPACE = "/proc/self/ns/net"


def outside_services(uid: int) -> tuple[Path, ...]:
    """Return the paths of services that would act for a user's night."""
    return tuple(map(Path, (*OUTSIDE_SERVICES, *(f"/run/user/{uid}/{name}" for name in USER_SERVICES))))


def network_namespace(path: str = NAMESPACE) -> int | None:
    """Return the inode of a network namespace; None where it cannot be read."""
    try:
        return os.stat(path).st_ino  # noqa: PTH116 (a link that is no path)
    except OSError:
        return None


def enter_namespace(*, network: bool) -> None:
    """Move this process, which has one thread, into new user and mount namespaces, and a network one if wanted.

    Args:
        network: whether a new network namespace is needed too; without, the one that holds stays.

    Raises:
        PreflightError: the kernel refuses; the hint says how to mend what was found in the way.
    """
    uid, gid = os.geteuid(), os.getegid()
    hidden = outside_services(uid)
    maps = {name: _identity(name) for name in ("uid_map", "gid_map")} if uid == 0 else {}
    flags = kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | (kernel.CLONE_NEWNET if network else 0)
    mapper = _Mapper(maps) if maps else None
    try:
        kernel.unshare(flags)
        if mapper is None or not mapper.write():
            _map_one(uid, gid)
        kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_SLAVE)
        for path in hidden:
            _hide(path)
    except OSError as error:
        raise PreflightError(
            f"no namespace of its own for the night: {error.strerror} ({error.filename})",
            hint=mend_refusal(error.errno or 0),
        ) from error
    finally:
        if mapper is not None:
            mapper.close()


class _Mapper:
    """A child that stays outside for a moment: only from there may more than one id be mapped."""

    def __init__(self, maps: dict[str, str]) -> None:
        go, self._go = os.pipe()
        self._done, done = os.pipe()
        parent = os.getpid()
        self._child = os.fork()
        if self._child:
            os.close(go)
            os.close(done)
            return
        try:
            os.close(self._go)
            if os.read(go, 1):
                for name, text in maps.items():
                    _write(f"/proc/{parent}/{name}", text)
                os.write(done, b"+")
        finally:
            os._exit(0)

    def write(self) -> bool:
        """Have the maps written; tell whether they were."""
        os.write(self._go, b"+")
        return os.read(self._done, 1) == b"+" if self._wait() else False

    def close(self) -> None:
        """Let the child end if it was not needed, and close what connects to it."""
        os.close(self._go)
        self._wait()
        os.close(self._done)

    def _wait(self) -> bool:
        if self._child:
            child, self._child = self._child, 0
            os.waitpid(child, 0)
            os.set_blocking(self._done, False)
            return True
        return False


def _identity(name: str) -> str:
    """Return the map under which every id that exists here stays what it is."""
    lines = [line.split() for line in Path(f"/proc/self/{name}").read_text("ascii").splitlines()]
    return "".join(f"{inside} {inside} {count}\n" for inside, _, count in lines)


def _map_one(uid: int, gid: int) -> None:
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1\n")
    _write("/proc/self/gid_map", f"{gid} {gid} 1\n")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(descriptor)


def _hide(path: Path) -> None:
    """Put nothing in a service's place."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            return  # not there, or out of this user's reach anyway
        raise
    quiet = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    if stat.S_ISDIR(mode):
        kernel.mount("none", str(path), "tmpfs", quiet | kernel.MS_RDONLY, "size=4k,nr_inodes=1,mode=0555")
    else:
        kernel.mount("/dev/null", str(path), "", kernel.MS_BIND)


def arguments_again(executable: str, original: Sequence[str]) -> tuple[str, ...]:
    """Return the command line that starts the same program again.

    Args:
        executable: the interpreter that runs.
        original: the words this process was started with, its interpreter's first.
    """
    return (executable, *original[1:])
