"""Looks at the network that this process is in. Sends nothing: a datagram socket that connects only asks for a route.

Invariants:
- what cannot be read is None, never an empty list;
- nothing that is looked at can block.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from pantheon.adapters.containment import kernel
from pantheon.adapters.containment.enter import network_namespace, outside_services
from pantheon.adapters.containment.seal import STANDARD, list_descriptors
from pantheon.core.containment import LOOPBACK, OWN, ROUTED, Containment, Observations, Probe

PROC = Path("/proc")
DISCARD, DOMAIN = 9, 53
ALL_HOSTS, ALL_HOSTS_HEX = "224.0.0.1", "010000E0"
"""The multicast group that every machine is in, and its spelling in the kernel's list."""
OUTSIDE: Final = (
    "192.0.2.1", "198.51.100.1", "203.0.113.1", "1.1.1.1", "9.9.9.9", "10.0.0.1", "100.64.0.1", "172.16.0.1",
    "192.168.0.1", "192.168.1.1", "169.254.169.254", "224.0.0.251", "2001:db8::1", "2606:4700:4700::1111",
    "2620:fe::9", "fd00::1", "ff0e::fb", "::ffff:192.0.2.1",
)  # fmt: skip
"""Documentation, name servers, private networks, the metadata of clouds, multicast; IPv4, IPv6 and mapped."""
ODD_FAMILIES: Final = {
    "AF_PACKET": 17, "AF_RDS": 21, "AF_CAN": 29, "AF_TIPC": 30, "AF_BLUETOOTH": 31, "AF_IEEE802154": 36, "AF_NFC": 39,
    "AF_VSOCK": 40, "AF_QIPCRTR": 42, "AF_XDP": 44,
}  # fmt: skip
"""Families that reach further than loopback; some of them know no network namespace."""
NOTHING: Final = 1, 3
"""Numbers of ``/dev/null``."""
_KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET)


def observe(
    mode: Containment,
    *,
    outside_namespace: int | None = None,
    allowed: Iterable[str] = (),
    proc: Path = PROC,
) -> Observations:
    """Return what this process sees of its network.

    Args:
        mode: the mode that the policy demands.
        outside_namespace: inode of the network namespace that the process came from, where it knows it.
        allowed: firewall mode: the addresses that the policy names.
        proc: where the kernel tells about this process.
    """
    allowed = tuple(allowed)
    filtered: tuple[Probe, ...] = ()
    outside: tuple[str, ...] = OUTSIDE
    interfaces = _interfaces(proc / "self/net/dev")
    if mode is Containment.FIREWALL:
        # Routes cannot forbid IPv6 multicast; the filter is asked for it.
        outside = (*(one for one in OUTSIDE if not one.startswith("ff")), *_near(allowed))
        filtered = tuple(_ask_filter(interfaces or (), proc))
    return Observations(
        mode=mode,
        kernel=os.uname().release,
        uid=os.geteuid(),
        namespace=network_namespace(f"{proc}/self/ns/net"),
        outside_namespace=outside_namespace,
        interfaces=interfaces,
        routes=_routes(proc / "self/net"),
        outside=tuple(ask_route(address) for address in dict.fromkeys(outside) if address not in allowed),
        allowed=tuple(map(ask_route, allowed)),
        filtered=filtered,
        families=(*map(_ask_family, ODD_FAMILIES), _ask_ring()),
        inherited=_inherited(proc / "self/fd"),
        resolvers=_resolvers(),
        no_new_privileges=_flag(kernel.PR_GET_NO_NEW_PRIVS),
        dumpable=_flag(kernel.PR_GET_DUMPABLE),
    )


def ask_route(address: str) -> Probe:
    """Ask the kernel for a way to an address; connecting a datagram socket sends nothing."""
    six = ":" in address
    target = f"udp [{address}]:{DOMAIN}" if six else f"udp {address}:{DOMAIN}"
    try:
        with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, DOMAIN))
            own = probe.getsockname()[0] == address
    except OSError as error:
        return Probe(target=target, outcome=_name(error))
    return Probe(target=target, outcome=OWN if own else ROUTED)


def _ask_filter(interfaces: Iterable[str], proc: Path) -> Iterator[Probe]:
    """Offer the packet filter, on each interface, an empty datagram that cannot leave the machine: it must refuse it.

    Routes neither forbid one's own addresses nor hold who binds to an interface, so here the filter alone says no.
    Where it does not, the datagram ends inside the kernel: on loopback, or as a multicast that may make no step to a
    group that this machine is in, without which the kernel would not look at the steps.
    """
    members = _in_all_hosts(proc / "self/net/igmp")
    for name in interfaces:
        if name == LOOPBACK:
            yield _offer(name, socket.AF_INET, "127.0.0.53")
            yield _offer(name, socket.AF_INET, "127.0.0.1")
            yield _offer(name, socket.AF_INET6, "::1")
        else:
            if name in members:
                yield _offer(name, socket.AF_INET, ALL_HOSTS)
            else:
                yield Probe(target=f"udp {ALL_HOSTS} on {name}", outcome="not asked, for it might be sent")
            yield _offer(name, socket.AF_INET6, "ff01::fb")


def _in_all_hosts(path: Path) -> frozenset[str]:
    """Return the interfaces on which this machine is in the group of all hosts."""
    found, device = set(), ""
    try:
        lines = path.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return frozenset()
    for line in lines[1:]:
        words = line.split()
        if not line.startswith("\t"):
            device = words[1] if len(words) > 1 else ""
        elif words[0] == ALL_HOSTS_HEX:
            found.add(device)
    return frozenset(found)


def _offer(name: str, family: socket.AddressFamily, address: str) -> Probe:
    target = f"udp {address} on {name}"
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode() + b"\0")
            if family == socket.AF_INET:
                # No step: the kernel keeps such a multicast inside the host. ff01::/16 is of that kind by itself.
                probe.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
                probe.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            probe.setblocking(False)
            probe.sendto(b"", (address, DISCARD))
    except OSError as error:
        return Probe(target=target, outcome=_name(error))
    return Probe(target=target, outcome=ROUTED)


def _ask_family(name: str) -> Probe:
    outcome = "EAFNOSUPPORT"
    for kind in _KINDS:
        try:
            socket.socket(ODD_FAMILIES[name], kind).close()
        except OSError as error:
            outcome = _name(error)
            continue
        outcome = ROUTED
        break
    return Probe(target=f"socket {name}", outcome=outcome)


def _ask_ring() -> Probe:
    try:
        kernel.system_call(kernel.IO_URING_SETUP, 0, None)
    except OSError as error:
        # With nothing asked for, a kernel that would grant it complains of the arguments.
        outcome = _name(error)
        return Probe(target="io_uring", outcome=outcome if outcome in ("ENOSYS", "EPERM") else ROUTED)
    return Probe(target="io_uring", outcome=ROUTED)


def _interfaces(path: Path) -> tuple[str, ...] | None:
    try:
        lines = path.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return None
    return tuple(line.partition(":")[0].strip() for line in lines[2:])


def _routes(net: Path) -> tuple[str, ...] | None:
    try:
        # A namespace that never had a route has a list without even a head.
        head, *rest = (net / "route").read_text("ascii").splitlines() or ["Iface"]
        six_lines = (net / "ipv6_route").read_text("ascii").splitlines() if _has_ipv6() else []
    except (OSError, ValueError):
        return None
    four, six = [line.split() for line in rest], [line.split() for line in six_lines]
    if not head.startswith("Iface") or any(len(words) < 2 for words in (*four, *six)):
        return None
    found = [(words[0], words[1]) for words in four] + [(words[-1], words[0]) for words in six]
    return tuple(sorted({f"{name} {to}" for name, to in found if name != LOOPBACK}))


def _has_ipv6() -> bool:
    """Tell whether the kernel knows IPv6 at all; one that was told not to has no list of its routes."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError as error:
        return error.errno != errno.EAFNOSUPPORT
    return True


def _inherited(folder: Path) -> tuple[str, ...] | None:
    found = []
    try:
        descriptors = list_descriptors(folder)
    except OSError:
        return None
    for descriptor in descriptors:
        with suppress(FileNotFoundError):  # the listing's own descriptor
            try:
                kind = _strange_kind(descriptor)
            except OSError as error:
                if error.errno != errno.EBADF:
                    return None
                continue
            if kind is not None:
                found.append(f"{descriptor} {kind}")
    return tuple(found)


def _strange_kind(descriptor: int) -> str | None:
    """Return what a descriptor is when a night may not have it; None when it may.

    A Unix socket is fine as output, for that is how a service manager takes a journal; as input it could hand in
    descriptors of any kind. Beyond the standard three, what came with the process is closed, and the rest is its own.
    """
    family = _family(descriptor)
    if family is not None and family != socket.AF_UNIX:
        return family.name if isinstance(family, socket.AddressFamily) else str(family)
    if family is not None:
        return "a Unix socket" if descriptor == 0 else None
    found = os.fstat(descriptor)
    device = stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)
    if descriptor > STANDARD or not device or found.st_rdev == os.makedev(*NOTHING) or os.isatty(descriptor):
        return None
    return f"device {os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"


def _family(descriptor: int) -> int | None:
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return None
    with socket.socket(fileno=os.dup(descriptor)) as same:
        return same.family


def _resolvers() -> tuple[str, ...] | None:
    found = []
    for place in outside_services(os.geteuid()):
        try:
            paths = _sockets(place)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except OSError:
            return None
        found += [str(path) for path in paths if os.access(path, os.W_OK)]
    return tuple(found)


def _sockets(place: Path) -> list[Path]:
    if not stat.S_ISDIR(place.stat().st_mode):
        return [place] if stat.S_ISSOCK(place.stat().st_mode) else []
    return [path for path in sorted(place.iterdir()) if stat.S_ISSOCK(path.lstat().st_mode)]


def _near(allowed: Iterable[str]) -> Iterator[str]:
    """Yield what lies beside the allowed addresses: a rule that is too wide lets those through."""
    for text in allowed:
        address = ip_address(text)
        for step in (-1, 1, 16):
            with suppress(ValueError):
                yield str(address + step)


def _flag(option: int) -> bool | None:
    try:
        return bool(kernel.prctl(option))
    except OSError:
        return None


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error.errno))
