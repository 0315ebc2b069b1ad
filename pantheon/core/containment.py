"""Whether a night can leave the machine, decided from what was observed inside it.

Invariants:
- the decision is a pure function of frozen observations, and monotone: more that leads out, or less that could be
  read, never turns unproven into proven;
- what could not be read counts as a way out;
- every reason names what was seen, and what mends it stands beside it.

Source: ADR 0012.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from pydantic import Field

from pantheon.core.model import Frozen

NO_ROUTE = frozenset({"EADDRNOTAVAIL", "EAFNOSUPPORT", "ENETUNREACH"})
"""What the kernel says where there is nowhere to go: no route, no address to go from, no such protocol."""
REFUSED = NO_ROUTE | {"EACCES", "EHOSTUNREACH", "EPERM"}
"""What it says where a rule forbids the way."""
ROUTED = "routed"
"""What a probe says that found a way."""
OWN = "own address"
"""What a probe says whose target is an address of this machine; it stays on loopback."""
LOOPBACK = "lo"


class Containment(StrEnum):
    """How a night is kept on the machine (``containment`` of ``policies/night.toml``)."""

    NETNS = "netns"
    """A network namespace that holds nothing but its own loopback."""
    FIREWALL = "firewall"
    """Rules by user id, for a model server on another machine that the policy names."""


class Probe(Frozen):
    """One question to the kernel, answered without a packet that could leave the machine."""

    target: str
    """Where to, for example ``udp 192.0.2.1:53`` or ``socket AF_VSOCK``."""
    outcome: str
    """``routed``, ``own address``, or the name of the error."""


class Observations(Frozen):
    """What a process saw of its own network. None stands for what it could not read."""

    mode: Containment
    kernel: str
    uid: int
    namespace: int | None = None
    """Inode of the network namespace that the process is in."""
    outside_namespace: int | None = None
    """Inode of the one that it came from; None when it did not enter one itself."""
    interfaces: tuple[str, ...] | None = None
    routes: tuple[str, ...] | None = None
    """Routes that do not end at loopback, as ``interface destination``; IPv4 and IPv6."""
    outside: tuple[Probe, ...] = ()
    """Addresses that must not be reached."""
    allowed: tuple[Probe, ...] = ()
    """Firewall mode: the addresses that the policy names."""
    filtered: tuple[Probe, ...] = ()
    """Firewall mode: datagrams on each interface that cannot leave the machine; the packet filter must refuse them."""
    families: tuple[Probe, ...] = ()
    """Kinds of socket that no namespace and no filter of packets holds."""
    inherited: tuple[str, ...] | None = None
    """What was there at the start and is no file, pipe or terminal, as ``descriptor kind``: sockets that are not Unix
    sockets; as input any socket; as input, output or error a device other than the terminal and ``/dev/null``."""
    resolvers: tuple[str, ...] | None = None
    """Unix sockets of name services, message buses and container engines that can be connected to."""
    no_new_privileges: bool | None = None
    dumpable: bool | None = None
    """Whether other processes of the same user may read this one's memory."""


MENDS: Mapping[str, str] = MappingProxyType(
    {
        "namespace": "Start the night where nothing has forged PANTHEON_CONTAINED.",
        "interfaces": "Take them away; a unit with PrivateNetwork=yes or a container without network has none.",
        "routes": "Take the routes away, or let the night enter a namespace of its own.",
        "outside": "netns: let nothing but the loopback be in the namespace. firewall: by user id, forbid every way "
        "but the one to the model server (docs/containment.md).",
        "root": "Start the night as a user of its own, for example pantheon-runner.",
        "filter": "Load policies/egress.nft for this user id (docs/containment.md).",
        "allowed": "Name the model server's literal address in local_networks of policies/night.toml, and let this "
        "user id reach it.",
        "families": "Start it on x86_64 or aarch64, or under systemd with RestrictAddressFamilies=.",
        "inherited": "Start the night with files, pipes or a terminal as its input and output.",
        "resolvers": "Hide them: systemd InaccessiblePaths=, or let the night enter namespaces of its own.",
        "privileges": "Start it under systemd with NoNewPrivileges=yes.",
        "dumpable": "Start it with prctl allowed.",
    }
)
"""Code of a reason -> what mends it."""


class Reason(Frozen):
    """Why a way out could not be excluded."""

    code: str
    message: str

    @property
    def mend(self) -> str:
        """What to do about it."""
        return MENDS[self.code]


@dataclass(frozen=True)
class Verdict:
    """What the observations prove."""

    reasons: tuple[Reason, ...]
    """Empty when there is no way out."""

    @property
    def proven(self) -> bool:
        """Whether there is no way out."""
        return not self.reasons

    def only(self, *codes: str) -> bool:
        """Tell whether nothing but these codes stands against it."""
        return all(reason.code in codes for reason in self.reasons)


class ContainmentStatement(Frozen):
    """The predicate of the containment statement: how the night was kept on the machine, and what shows it."""

    proven: bool
    reasons: tuple[str, ...] = ()
    observed: Observations
    at: str = Field(default="", max_length=64)
    """When it was stated, RFC 3339; empty until it is recorded."""

    def as_predicate(self) -> Mapping[str, Any]:
        """Return the statement as JSON values without floats."""
        return self.model_dump(mode="json")


def decide_containment(seen: Observations) -> Verdict:
    """Return what stands against the claim that this process cannot leave the machine."""
    by_mode = _netns if seen.mode is Containment.NETNS else _firewall
    return Verdict((*by_mode(seen), *_process(seen)))


def state_containment(seen: Observations, at: str = "") -> ContainmentStatement:
    """Return the statement over observations.

    Args:
        seen: what was observed.
        at: when, RFC 3339.
    """
    verdict = decide_containment(seen)
    return ContainmentStatement(
        proven=verdict.proven,
        reasons=tuple(reason.message for reason in verdict.reasons),
        observed=seen,
        at=at,
    )


def _netns(seen: Observations) -> Iterator[Reason]:
    if seen.namespace is None:
        yield Reason(code="namespace", message="the network namespace cannot be told")
    elif seen.namespace == seen.outside_namespace:
        yield Reason(code="namespace", message="the network namespace is the one outside")
    if seen.interfaces is None or LOOPBACK not in seen.interfaces:
        # Every namespace has one; a list without it is no list of its interfaces.
        yield Reason(code="interfaces", message="the network interfaces cannot be read")
    else:
        others = [name for name in seen.interfaces if name != LOOPBACK]
        if others:
            yield Reason(
                code="interfaces",
                message=f"the namespace has interfaces besides {LOOPBACK}: {', '.join(others)}",
            )
    if seen.routes is None:
        yield Reason(code="routes", message="the routes cannot be read")
    elif seen.routes:
        yield Reason(code="routes", message=f"routes lead out: {', '.join(seen.routes)}")
    yield from _probes(seen.outside, NO_ROUTE)


def _firewall(seen: Observations) -> Iterator[Reason]:
    if seen.uid == 0:
        yield Reason(code="root", message="rules by user id cannot hold root")
    yield from _probes(seen.outside, REFUSED | {OWN})
    asked = {probe.target.rpartition(" ")[2] for probe in seen.filtered}
    if seen.interfaces is None or LOOPBACK not in seen.interfaces or not asked.issuperset(seen.interfaces):
        yield Reason(code="filter", message="the packet filter was not asked on every interface")
    for probe in seen.filtered:
        if probe.outcome not in REFUSED:
            yield Reason(
                code="filter", message=f"the packet filter lets {probe.target} pass ({probe.outcome})"
            )
    if not seen.allowed:
        yield Reason(code="allowed", message="the policy names no address that may be reached")
    for probe in seen.allowed:
        if probe.outcome != ROUTED:
            yield Reason(code="allowed", message=f"no way to {probe.target}: {probe.outcome}")


def _probes(probes: tuple[Probe, ...], expected: frozenset[str]) -> Iterator[Reason]:
    if not probes:
        yield Reason(code="outside", message="no address outside was asked for")
    for probe in probes:
        if probe.outcome == ROUTED:
            yield Reason(code="outside", message=f"a route leads to {probe.target}")
        elif probe.outcome not in expected:
            yield Reason(code="outside", message=f"{probe.target} is {probe.outcome}, which proves nothing")


def _process(seen: Observations) -> Iterator[Reason]:
    if not seen.families:
        yield Reason(code="families", message="the kinds of socket were not asked for")
    for probe in seen.families:
        if probe.outcome == ROUTED:
            yield Reason(code="families", message=f"{probe.target} can be made, and no namespace holds it")
    if seen.inherited is None:
        yield Reason(code="inherited", message="the open descriptors cannot be read")
    elif seen.inherited:
        yield Reason(
            code="inherited", message=f"inherited, and no file, pipe or terminal: {', '.join(seen.inherited)}"
        )
    if seen.resolvers is None:
        yield Reason(code="resolvers", message="the sockets of name services cannot be looked at")
    elif seen.resolvers:
        yield Reason(
            code="resolvers",
            message=f"services outside can be asked to act for the night: {', '.join(seen.resolvers)}",
        )
    if seen.no_new_privileges is not True:
        yield Reason(code="privileges", message="programs started by the night could gain privileges")
    if seen.dumpable is not False:
        yield Reason(code="dumpable", message="other processes of this user may read the night's memory")
