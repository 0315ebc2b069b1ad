"""What a contained process would have seen, for nights of tests that are not about containment."""

from typing import Any

from pantheon.core.contained import Contained, ModelInForce, SandboxInForce
from pantheon.core.containment import Containment, Observations, Probe, state_containment
from pantheon.core.sandbox import SandboxKind


def clean_observations(**changes: Any) -> Observations:
    """Return what a process sees in a namespace that holds nothing, with changes."""
    clean: dict[str, Any] = {
        "mode": Containment.NETNS, "kernel": "6", "uid": 1000, "namespace": 2, "outside_namespace": 1,
        "interfaces": ("lo",), "routes": (), "outside": (Probe(target="udp 192.0.2.1:53", outcome="ENETUNREACH"),),
        "families": (Probe(target="socket AF_VSOCK", outcome="EAFNOSUPPORT"),), "inherited": (), "resolvers": (),
        "no_new_privileges": True, "dumpable": False,
    }  # fmt: skip
    return Observations(**(clean | changes))


def contained(sandbox: SandboxKind = SandboxKind.BUBBLEWRAP, **changes: Any) -> Contained:
    """Return the word of such a process."""
    return Contained(
        containment=state_containment(clean_observations(**changes), "2026-01-01T00:00:00+00:00"),
        sandbox=SandboxInForce(kind=sandbox),
        model=ModelInForce(name="scripted", digest="0" * 64),
    )
