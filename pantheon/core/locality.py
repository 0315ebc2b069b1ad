"""Which addresses count as this machine, decided on the spelling alone.

Invariants:
- the host is read from a narrow grammar, never by a URL library that forgives;
- a name is never resolved; ``localhost`` is only another spelling of ``127.0.0.1``;
- an address outside loopback is allowed only inside a private network that the policy spells out;
- everything is plain ``http``: a server on this machine needs no certificate.

Source: DESIGN.md, sections 8 and 9.
"""

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from pydantic import Field

from pantheon.core.errors import LocalityError
from pantheon.core.model import Frozen

Network = IPv4Network | IPv6Network

_URL = re.compile(
    r"http://(?:\[(?P<six>[0-9a-f:]{2,39})\]|(?P<four>[0-9]{1,3}(?:\.[0-9]{1,3}){3})|(?P<name>localhost))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?(?P<path>(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*)/?",
    re.ASCII,
)
LOOPBACKS = ("127.0.0.1", "::1")
"""No other address of 127.0.0.0/8: name services listen on some of them, and forward what they are asked."""
_PRIVATE: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
_HINT = (
    "Allowed are http://127.0.0.1:PORT, http://[::1]:PORT, http://localhost:PORT, a Unix socket (uds), and "
    "an address inside local_networks of policies/night.toml."
)


class Endpoint(Frozen):
    """An address that a model client may connect to."""

    host: str
    """A literal address in its canonical spelling, IPv6 without brackets."""
    port: int = Field(ge=1, le=65_535)
    base_path: str = ""
    """Path before ``/v1``: empty, or with a slash in front and none at the end."""

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine."""
        return self.host in LOOPBACKS

    @property
    def base_url(self) -> str:
        """The endpoint as a URL without a final slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.base_path}"


def check_endpoint_url(url: str, local_networks: Iterable[str] = ()) -> Endpoint:
    """Return the endpoint behind a URL when it is on this machine or in a network the policy allows.

    Args:
        url: what the user wrote.
        local_networks: networks in CIDR notation, from the night's policy.

    Raises:
        LocalityError: anything else; the message quotes the URL.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise _refusal(url, "it is not a plain http URL with a literal local address")
    port = int(match["port"] or 80)
    if port > 65_535:
        raise _refusal(url, "there is no such port")
    try:
        address: IPv4Address | IPv6Address = (
            IPv6Address(match["six"]) if match["six"] else IPv4Address(match["four"] or "127.0.0.1")
        )
    except AddressValueError as error:
        raise _refusal(url, "its host is no address") from error
    if not _is_local(address, [check_local_network(text) for text in local_networks]):
        raise _refusal(url, f"{address} is neither loopback nor inside the policy's local_networks")
    return Endpoint(host=str(address), port=port, base_path=match["path"].removesuffix("/v1"))


def check_local_network(text: str) -> Network:
    """Return a network that a policy may call local.

    Raises:
        LocalityError: not CIDR notation with a zero host part, or not wholly inside a private range.
    """
    try:
        network = ip_network(text, strict=True)
    except ValueError as error:
        raise LocalityError(f"{text!r} is not a network: {error}") from error
    if not any(network.version == outer.version and _inside(network, outer) for outer in _PRIVATE):
        raise LocalityError(
            f"{text!r} is not a private network",
            hint="Allowed are networks inside " + ", ".join(str(outer) for outer in _PRIVATE) + ".",
        )
    return network


def _inside(network: Network, outer: Network) -> bool:
    return int(outer.network_address) <= int(network.network_address) and int(
        network.broadcast_address
    ) <= int(outer.broadcast_address)


def _is_local(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    if str(address) in LOOPBACKS:
        return True
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address.sixtofour or address.teredo):
        return False
    return any(address.version == network.version and address in network for network in networks)


def _refusal(url: str, why: str) -> LocalityError:
    return LocalityError(f"endpoint {url[:200]!r} is refused: {why}", hint=_HINT)
