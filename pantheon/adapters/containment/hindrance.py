"""Finds out what keeps a user from making namespaces, and says what mends it."""

import errno
from pathlib import Path

SYSCTLS = Path("/proc/sys")
_RESTRICTED = Path("kernel/apparmor_restrict_unprivileged_userns")
_CLONE = Path("kernel/unprivileged_userns_clone")
_LIMITS = (Path("user/max_user_namespaces"), Path("user/max_net_namespaces"), Path("user/max_mnt_namespaces"))
_OTHERWISE = "Or start the night under systemd with PrivateNetwork=yes, which needs no namespace of its own."


def mend_refusal(number: int, sysctls: Path = SYSCTLS) -> str:
    """Return what to do, from what the machine's settings say.

    Args:
        number: what ``unshare`` or the first steps inside failed with.
        sysctls: where the kernel's settings are.
    """
    for limit in _LIMITS:
        if _read(sysctls / limit) == "0":
            return f"{_name(limit)} is 0: sudo sysctl -w {_name(limit)}=15000. {_OTHERWISE}"
    if _read(sysctls / _CLONE) == "0":
        return f"{_name(_CLONE)} is 0: sudo sysctl -w {_name(_CLONE)}=1. {_OTHERWISE}"
    if _read(sysctls / _RESTRICTED) == "1" and number in (errno.EACCES, errno.EPERM):
        return (
            f"AppArmor keeps user namespaces from programs without a profile ({_name(_RESTRICTED)} is 1): load a "
            "profile for this Python with the rule 'userns,', or sudo sysctl -w "
            f"{_name(_RESTRICTED)}=0. {_OTHERWISE}"
        )
    if number == errno.ENOSPC:
        return f"Too many namespaces are open, or nested too deeply. {_OTHERWISE}"
    if number == errno.EINVAL:
        return f"This kernel has no user namespaces, or the process has more than one thread. {_OTHERWISE}"
    if number == errno.EPERM:
        return (
            "The container or the service that this runs in forbids namespaces: allow unshare in its seccomp profile "
            f"(systemd: RestrictNamespaces=), or give it no network (docker: --network none). {_OTHERWISE}"
        )
    return _OTHERWISE


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return None


def _name(path: Path) -> str:
    return ".".join(path.parts)
