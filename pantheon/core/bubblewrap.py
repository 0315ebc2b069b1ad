"""What bubblewrap is told: a pure function from values to its options.

Invariants:
- nothing of the machine is in the sandbox but what is named here, and of that only the candidate tree can be written;
- no capability is left to the program, and its user id is not root's, inside or outside;
- options that name folders or variables go to bubblewrap through a descriptor, not through its command line, which
  every process of the machine can read.

Source: ADR 0011.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Self

from pydantic import Field, model_validator

from pantheon.core.model import Frozen
from pantheon.core.sandbox import SandboxLimits

WORK = "/work"
"""Where the candidate tree is in the sandbox."""
INNER_ID = 1000
"""The program's user and group id in a user namespace."""
FIRST_RESERVED_ID, IDS_PER_PROCESS = 1_879_048_192, 64
"""Where root hands out user ids: a range that no distribution gives to anybody, 64 for each process id."""
_TO_LEAVE_ROOT = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_DAC_READ_SEARCH")
"""What setpriv needs to leave root, and bubblewrap to enter a tree that belongs to another by then."""
_NO_BINDS_AT = ("/", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/usr", "/var", WORK)
_NO_BINDS_BELOW = ("/dev", "/proc", "/run", "/sys", "/tmp", "/var/run", WORK)
_NEVER_READ = ("/dev", "/proc", "/run", "/sys", "/var/run")
_SYSTEM_FILES = ("/etc/alternatives", "/etc/ld.so.cache")


class Identity(Frozen):
    """Who the program is."""

    uid: int = Field(ge=1)
    gid: int = Field(ge=1)
    drop: bool
    """Root leaves its own user id for this one; otherwise a user namespace shows the caller as this one."""


class GitEntry(StrEnum):
    """What the tree has under the name ``.git``."""

    FOLDER = "folder"
    FILE = "file"


class ReadOnlyBind(Frozen):
    """A folder or file of the machine that the program may read, such as the repository's interpreter."""

    source: str
    target: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problem := self._problem():
            raise ValueError(problem)
        return self

    def _problem(self) -> str | None:
        for name in (self.source, self.target):
            path = PurePosixPath(name)
            if not path.is_absolute() or ".." in path.parts or str(path) != name or not name.isprintable():
                return f"{name!r} is not a plain absolute path"
        if self.target in _NO_BINDS_AT or _is_below(self.target, _NO_BINDS_BELOW):
            return f"{self.target}: this place belongs to the sandbox itself"
        if self.source in _NO_BINDS_AT or _is_below(self.source, _NEVER_READ):
            return f"{self.source}: this never goes into the sandbox"
        return None


class Confinement(Frozen):
    """Everything that bubblewrap is told about one run."""

    tree: str
    git: GitEntry
    identity: Identity
    limits: SandboxLimits
    env: Mapping[str, str]
    reads: tuple[ReadOnlyBind, ...] = ()
    search_path: tuple[str, ...] = ()
    """Folders before the system's own on the search path, for example a virtual environment's ``bin``."""
    disable_userns: bool = True
    """Whether this bubblewrap knows ``--disable-userns``; the system-call filter refuses the same."""


class FileDescriptors(Frozen):
    """Descriptors that bubblewrap inherits, reads and closes."""

    status: int
    block: int
    """It starts the program only once this one can be read: not before the limits are set."""
    filters: tuple[int, ...]
    files: Mapping[str, int]
    """Path in the sandbox -> descriptor of its content."""


def decide_identity(euid: int, uid_map: str, *, pid: int, slot: int) -> Identity:
    """Return who the program runs as.

    The kernel holds user 0 of the whole machine to no number of processes, so root gives the program a user id of its
    own. In a user namespace that maps no such id, "root" is somebody else, or the probe will tell.

    Args:
        uid_map: content of ``/proc/self/uid_map``.
        pid: of this process.
        slot: number of the run among those of this process at this instant.
    """
    reserved = FIRST_RESERVED_ID + (pid * IDS_PER_PROCESS + slot) % (1 << 28)
    if euid == 0 and _is_mapped(reserved, uid_map):
        return Identity(uid=reserved, gid=reserved, drop=True)
    return Identity(uid=INNER_ID, gid=INNER_ID, drop=False)


def etc_files(identity: Identity) -> Mapping[str, bytes]:
    """Return the files that programs look their user, group and host up in: path in the sandbox -> content."""
    return {
        "/etc/passwd": f"pantheon:x:{identity.uid}:{identity.gid}::/tmp:/usr/sbin/nologin\n".encode(),
        "/etc/group": f"pantheon:x:{identity.gid}:\n".encode(),
        "/etc/hosts": b"127.0.0.1 localhost\n::1 localhost\n",
        "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
    }


def build_options(confinement: Confinement, descriptors: FileDescriptors) -> tuple[str, ...]:
    """Return the options that bubblewrap reads from a descriptor (``--args``)."""
    size = str(confinement.limits.tmp_bytes)
    options = [*_namespaces(confinement), "--die-with-parent", "--new-session", "--hostname", "sandbox"]
    options += ["--json-status-fd", str(descriptors.status), "--block-fd", str(descriptors.block)]
    for number in descriptors.filters:
        options += ["--add-seccomp-fd", str(number)]
    options += ["--ro-bind", "/usr", "/usr"]
    for name in ("lib", "lib32", "lib64", "libx32", "bin", "sbin"):
        options += ["--symlink", f"usr/{name}", f"/{name}"]
    # Folders that bubblewrap makes on its own way are for their owner only.
    for folder in _parents(("/etc/hosts", *(bind.target for bind in confinement.reads))):
        options += ["--perms", "0755", "--dir", folder]
    for path in _SYSTEM_FILES:
        options += ["--ro-bind-try", path, path]
    for path, number in descriptors.files.items():
        options += ["--perms", "0444", "--file", str(number), path]
    options += ["--proc", "/proc", "--dev", "/dev"]
    options += ["--perms", "1777", "--size", size, "--tmpfs", "/dev/shm"]
    options += ["--perms", "1777", "--size", size, "--tmpfs", "/tmp"]
    for bind in confinement.reads:
        options += ["--ro-bind", bind.source, bind.target]
    options += ["--bind", confinement.tree, WORK, *_hide_git(confinement.git)]
    # Last: bubblewrap's own tmpfs for / and /dev are as large as half the memory.
    options += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK]
    for name, value in _environment(confinement).items():
        options += ["--setenv", name, value]
    return tuple(options)


def build_command(identity: Identity, argv: Sequence[str]) -> tuple[str, ...]:
    """Return what bubblewrap starts: the program, behind the change of user where there is one."""
    if not identity.drop:
        return tuple(argv)
    return (
        "/usr/bin/setpriv", f"--reuid={identity.uid}", f"--regid={identity.gid}", "--clear-groups",
        "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs", "--", *argv,
    )  # fmt: skip


def parse_reads(paths: Sequence[str]) -> tuple[ReadOnlyBind, ...]:
    """Return the binds of paths that the policy names, each at its own place. Raises ``ValueError``."""
    return tuple(ReadOnlyBind(source=path, target=path) for path in paths)


def _namespaces(confinement: Confinement) -> list[str]:
    identity = confinement.identity
    if identity.drop:
        # These few are left until setpriv drops them with the user id.
        kept = [part for capability in _TO_LEAVE_ROOT for part in ("--cap-add", capability)]
        alone = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
        return [*alone, "--cap-drop", "ALL", *kept]
    user = ["--unshare-all", "--unshare-user", "--uid", str(identity.uid), "--gid", str(identity.gid)]
    disabled = ["--disable-userns"] if confinement.disable_userns else []
    return [*user, *disabled, "--cap-drop", "ALL"]


def _hide_git(entry: GitEntry) -> list[str]:
    place = f"{WORK}/.git"
    if entry is GitEntry.FILE:
        return ["--ro-bind", "/dev/null", place]
    return ["--perms", "0555", "--size", "4096", "--tmpfs", place, "--remount-ro", place]


def _environment(confinement: Confinement) -> Mapping[str, str]:
    return {
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "LOGNAME": "pantheon",
        "PATH": ":".join((*confinement.search_path, "/usr/bin", "/bin")),
        "TMPDIR": "/tmp",
        "USER": "pantheon",
        **confinement.env,
    }


def _parents(paths: Sequence[str]) -> tuple[str, ...]:
    """Return every folder above the paths, outermost first."""
    found = {str(parent) for path in paths for parent in PurePosixPath(path).parents if parent.name}
    return tuple(sorted(found))


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return any(path.startswith(f"{folder}/") for folder in folders)


def _is_mapped(uid: int, uid_map: str) -> bool:
    for line in uid_map.splitlines():
        first, _, count = (int(field) for field in line.split())
        if first <= uid < first + count:
            return True
    return False
