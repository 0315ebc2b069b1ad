"""The containment's half of the wiring: a night's first act, and what ``pantheon doctor --containment`` asks.

Invariants:
- nothing is started, opened or asked of a server before containment is proven;
- a night that already is inside is not moved again, and one that was moved and still cannot prove it is refused;
- what a night keeps of its environment is what ``shell.night_environment`` says, whether it was moved or not.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence

from pantheon.core.containment import (
    Containment,
    ContainmentStatement,
    Observations,
    decide_containment,
    state_containment,
)
from pantheon.core.credentials import find_credentials, find_proxies
from pantheon.core.egress import egress_commands
from pantheon.core.errors import PreflightError
from pantheon.core.locality import Endpoint, check_endpoint_url
from pantheon.core.policy import NightPolicy
from pantheon.shell.config import Project
from pantheon.shell.environment import CONTAINED, POOL_RELAYS, RELAY, drop_from_environment, environment
from pantheon.shell.night_environment import night_environment, strip_environment
from pantheon.shell.pool_config import OWN_ENDPOINT
from pantheon.shell.wiring import load_policies

SEALABLE = ("dumpable", "families", "privileges")
"""Reasons that a process mends in its own place."""
ENTERABLE = ("interfaces", "namespace", "outside", "routes", "resolvers", *SEALABLE)
"""Reasons that namespaces of its own mend."""


def contain(project: Project, command_line: Sequence[str]) -> ContainmentStatement:
    """Prove that this process cannot leave the machine; where it can, start it again where it cannot.

    Args:
        project: its policy says the mode, and what is done about credentials.
        command_line: the words that this process was started with, the interpreter's first; empty when it may not be
            replaced, as where a test calls a command as a function.

    Returns:
        What was proven. Where the process is replaced, it does not return.

    Raises:
        PreflightError: a proxy or a credential is in the environment, the mode leaves no way to the model server,
            or it cannot be proven.
        LocalityError: the model server is not local.
    """
    from pantheon.adapters.clock import SystemClock
    from pantheon.adapters.containment.enter import arguments_again, enter_namespace, network_namespace
    from pantheon.adapters.containment.seal import close_inherited, seal_process
    from pantheon.adapters.relay import start_relay

    policy = load_policies(project).night
    check_environment(policy)
    server = check_server(project, policy)
    pool = check_pool(project, policy)
    close_inherited()
    seen = look(policy)
    verdict = decide_containment(seen)
    inside = CONTAINED in environment()
    if not inside and not verdict.only(*SEALABLE) and verdict.only(*enterable(policy)) and command_line:
        lost = policy.containment is Containment.NETNS and not verdict.only("resolvers", *SEALABLE)
        # A namespace that holds nothing already stays; then there is none outside to tell it from.
        mark = str(network_namespace() or 0) if lost else "0"
        variables = {**night_environment(policy.environment.allow), CONTAINED: mark}
        if lost and server is not None:
            variables[RELAY] = str(start_relay(server, variables).socket)
        if lost and pool:
            relays = {name: str(start_relay(target, variables).socket) for name, target in pool.items()}
            variables[POOL_RELAYS] = json.dumps(relays)
        enter_namespace(network=lost)
        sys.stdout.flush()
        sys.stderr.flush()
        # The same program with the same words, and no shell.
        os.execve(sys.executable, arguments_again(sys.executable, command_line), variables)
    if command_line:
        strip_environment(policy.environment.allow)
    if verdict.only(*SEALABLE):
        seal_process()
        seen = look(policy)
    statement = state_containment(seen, SystemClock().now().isoformat(timespec="seconds"))
    if not statement.proven:
        raise refusal(seen, policy, server)
    return statement


def check_server(project: Project, policy: NightPolicy) -> Endpoint | None:
    """Return the model server where it is a TCP address; None for the embedded one and for a Unix socket.

    Raises:
        LocalityError: it is not local.
        PreflightError: it is on another machine, and the mode leads nowhere but to this one.
    """
    endpoint = project.config.endpoint
    if endpoint.kind == "embedded" or endpoint.uds:
        return None
    server = check_endpoint_url(endpoint.url, policy.local_networks)
    if policy.containment is Containment.NETNS and not server.is_loopback:
        raise PreflightError(
            f"no way leads to {server.base_url} out of a network namespace that holds nothing",
            hint='Serve the model over a Unix socket on this machine (endpoint.uds), or say containment = "firewall" '
            "in policies/night.toml (docs/containment.md).",
        )
    return server


def check_pool(project: Project, policy: NightPolicy) -> Mapping[str, Endpoint]:
    """Return the endpoints of the pool that are TCP addresses, by name.

    Raises:
        LocalityError: one is not local.
        PreflightError: one is on another machine, and the mode leads nowhere but to this one.
    """
    found = {}
    for one in project.config.pool:
        if one.uds or one.name == OWN_ENDPOINT:
            continue
        found[one.name] = address = check_endpoint_url(one.url, policy.local_networks)
        if policy.containment is Containment.NETNS and not address.is_loopback:
            raise PreflightError(
                f"pool: {one.name}: no way leads to {address.base_url} out of a network namespace that holds nothing",
                hint='Serve it over a Unix socket on this machine (uds), or say containment = "firewall" in '
                "policies/night.toml (docs/containment.md).",
            )
    return found


def enterable(policy: NightPolicy) -> tuple[str, ...]:
    """Return the reasons that namespaces of its own would mend in a mode."""
    return ENTERABLE if policy.containment is Containment.NETNS else ("resolvers", *SEALABLE)


def look(policy: NightPolicy) -> Observations:
    """Return what this process sees of its network. Sends nothing that could leave the machine."""
    from pantheon.adapters.containment.observe import observe

    mark = environment().get(CONTAINED, "")
    return observe(
        policy.containment,
        outside_namespace=int(mark) if mark.isascii() and mark.isdigit() and len(mark) < 20 else None,
        allowed=policy.addresses,
    )


def known_services() -> int:
    """Return how many places of services outside the proof looks at."""
    from pantheon.adapters.containment.enter import outside_services

    return len(outside_services(os.geteuid()))


def refusal(seen: Observations, policy: NightPolicy, server: Endpoint | None) -> PreflightError:
    """Return the error that tells what stands against containment, and what mends it.

    Of a night that has not moved yet, only what keeps it from moving is told: the rest moving would mend.
    """
    reasons = decide_containment(seen).reasons
    if CONTAINED not in environment():
        mended = enterable(policy)
        reasons = tuple(reason for reason in reasons if reason.code not in mended) or reasons
    told = list(dict.fromkeys(reason.message for reason in reasons))
    shown = "; ".join(told[:6]) + (f"; and {len(told) - 6} more" if len(told) > 6 else "")
    mends = list(dict.fromkeys(reason.mend for reason in reasons))
    if seen.mode is Containment.FIREWALL and seen.uid:
        commands = egress_commands(seen.uid, policy.addresses, server.port if server is not None else 8000)
        mends.append("As root, all of it anew after a reboot:\n    " + "\n    ".join(commands))
    return PreflightError(
        f"the night could leave this machine, so nothing was started: {shown}",
        hint=" ".join(mends),
        mode=str(seen.mode),
        reasons=[reason.model_dump() for reason in reasons],
    )


def check_environment(policy: NightPolicy) -> None:
    """Refuse proxies and a forged relay by name; refuse cloud credentials by name, or take them out of the environment.

    Raises:
        PreflightError: the message names the variables, never their values.
    """
    names = environment()
    for relay in (RELAY, POOL_RELAYS):
        if relay in names and CONTAINED not in names:
            raise PreflightError(
                f"{relay} is set: that is for a night to tell itself where its relay listens, and nobody else",
                hint=f"unset {relay}",
                variables=[relay],
            )
    if proxies := find_proxies(names):
        raise PreflightError(
            f"a proxy is set, and a night uses none: {', '.join(proxies)}",
            hint=f"unset {' '.join(proxies)}",
            variables=list(proxies),
        )
    found = find_credentials(names)
    if found and policy.environment.credentials == "refuse":
        raise PreflightError(
            f"cloud credentials are in the environment, and a night needs none: {', '.join(found)}",
            hint=f'unset {" ".join(found)}, or say credentials = "strip" under [environment] of '
            "policies/night.toml",
            variables=list(found),
        )
    drop_from_environment(found)
