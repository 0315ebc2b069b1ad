"""The commands that keep one user of a machine to one address, for ``containment = "firewall"``."""

from collections.abc import Iterable
from ipaddress import ip_address

LET, FORBID = 90, 91
"""Priorities of the rules: before the main table, after the table of local addresses."""
NOWHERE = {4: "192.0.2.0", 6: "100::"}
"""IP version -> what stands for a server where there is none: documentation, and the prefix that is discarded."""


def egress_commands(uid: int, addresses: Iterable[str], port: int) -> tuple[str, ...]:
    """Return the commands for root, in the order in which they close the way out last.

    Args:
        uid: the user's number.
        addresses: literal addresses that may be reached.
        port: the model server's.
    """
    allowed = [ip_address(text) for text in addresses]
    servers = {
        version: ", ".join(str(one) for one in allowed if one.version == version) or nowhere
        for version, nowhere in NOWHERE.items()
    }
    commands = [
        f"nft -D runner={uid} -D port={port} -D server4='{{ {servers[4]} }}' -D server6='{{ {servers[6]} }}' "
        "-f policies/egress.nft"
    ]
    for one in allowed:
        six = " -6" if one.version == 6 else ""
        commands.append(
            f"ip{six} rule add priority {LET} uidrange {uid}-{uid} to {one}/{one.max_prefixlen} lookup main"
        )
    return (
        *commands,
        f"ip rule add priority {FORBID} uidrange {uid}-{uid} prohibit",
        f"ip -6 rule add priority {FORBID} uidrange {uid}-{uid} prohibit",
    )
