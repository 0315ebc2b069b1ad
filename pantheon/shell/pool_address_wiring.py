"""Where the endpoints of a pool are: each address is checked, and led through its relay in a contained night."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pantheon.adapters.relay_check import check_own_relay
from pantheon.core.errors import LocalityError
from pantheon.core.locality import check_endpoint_url
from pantheon.shell.config import Project
from pantheon.shell.environment import POOL_RELAYS, environment
from pantheon.shell.pool_config import OWN_ENDPOINT, PoolConfig
from pantheon.shell.wiring import load_policies


@dataclass(frozen=True)
class Address:
    """Where one endpoint of the pool is, checked, and what it is configured to serve."""

    name: str
    base_url: str
    uds: str | None
    config: PoolConfig


def pool_addresses(project: Project) -> tuple[Address, ...]:
    """Return every endpoint of the pool but that of ``[endpoint]``.

    Raises:
        LocalityError: one of them is neither on this machine nor in a network that the policy names, or a variable
            names a relay that this process did not start.
    """
    networks = load_policies(project).night.local_networks
    found = []
    for one in project.config.pool:
        if one.name == OWN_ENDPOINT:
            continue
        base = "http://localhost" if one.uds else _checked(one, networks)
        found.append(Address(one.name, base, one.uds or _relay_to(one.name), one))
    return tuple(found)


def _relay_to(name: str) -> str | None:
    """Return the relay that leads to an endpoint on the loopback outside; None where the night needs none.

    Raises:
        LocalityError: the variable that names it is not this night's own word.
    """
    if POOL_RELAYS not in environment():
        return None
    try:
        path = json.loads(environment()[POOL_RELAYS])[name]
    except (ValueError, KeyError, TypeError) as error:
        raise LocalityError(
            f"{POOL_RELAYS} is set, and names no relay to endpoint {name}", hint=f"unset {POOL_RELAYS}"
        ) from error
    return str(check_own_relay(Path(str(path)), POOL_RELAYS))


def _checked(one: PoolConfig, networks: Sequence[str]) -> str:
    try:
        return check_endpoint_url(one.url, networks).base_url
    except LocalityError as error:
        raise LocalityError(f"pantheon.toml: pool: {one.name}: {error.message}", hint=error.hint) from error
