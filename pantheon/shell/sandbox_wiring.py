"""The sandbox's half of the wiring: what runs code of the repository, as the policy says."""

import asyncio

from pantheon.core.bubblewrap import parse_reads
from pantheon.core.policy import NightPolicy
from pantheon.core.sandbox import SandboxKind
from pantheon.core.sandbox_proof import SandboxProof
from pantheon.ports.clock import Clock
from pantheon.ports.sandbox import Sandbox


async def open_sandbox(policy: NightPolicy, clock: Clock) -> tuple[Sandbox, SandboxProof]:
    """Return what runs code of the repository, proven to hold. There is no second choice behind the policy's.

    Raises:
        PreflightError: the sandbox that the policy demands is missing, or does not hold.
    """
    if policy.sandbox is SandboxKind.NONE:
        from pantheon.adapters.sandbox.plain import PlainProcess

        return PlainProcess(clock), SandboxProof(kind=SandboxKind.NONE, version="", filters=())
    from pantheon.adapters.sandbox.bubblewrap import open_bubblewrap
    from pantheon.adapters.sandbox.probe import prove_sandbox

    reads = parse_reads(policy.sandbox_reads)
    programs = tuple(f"{read.target}/bin" for read in reads)
    sandbox = await asyncio.to_thread(open_bubblewrap, clock, reads=reads, search_path=programs)
    return sandbox, await prove_sandbox(sandbox)


async def prove_default_sandbox() -> SandboxProof:
    """Prove the sandbox that is used unless a policy says otherwise. Raises ``PreflightError``."""
    from pantheon.adapters.clock import SystemClock

    return (await open_sandbox(NightPolicy(), SystemClock()))[1]
