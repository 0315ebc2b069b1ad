"""Proves that the sandbox works on this machine, by running programs in it and judging what they could do."""

import asyncio
import hashlib
import tempfile
from pathlib import Path

from pantheon.adapters.sandbox.bubblewrap import INSTALL, BubblewrapSandbox
from pantheon.adapters.threads import run_to_end, take_in_thread
from pantheon.core.errors import PreflightError, SandboxError
from pantheon.core.sandbox_proof import LOOK, MULTIPLY, PROOF_LIMITS, SandboxProof, find_holes

MEND = (
    "bubblewrap needs user namespaces, unless it is started by root. Look at: sysctl user.max_user_namespaces (not 0); "
    "kernel.unprivileged_userns_clone (1, where it is there); kernel.apparmor_restrict_unprivileged_userns (0, or an "
    "AppArmor profile for bwrap); in a container, that unshare and mount are allowed. "
)


async def prove_sandbox(sandbox: BubblewrapSandbox) -> SandboxProof:
    """Run the proof's programs and return what the sandbox is.

    Raises:
        PreflightError: the sandbox cannot be made here, or does not hold.
    """
    folder = await take_in_thread(
        lambda: tempfile.TemporaryDirectory(prefix="pantheon-proof-"), lambda made: made.cleanup()
    )
    try:
        tree = await asyncio.to_thread(Path(folder.name).resolve)
        looked = await sandbox.run(LOOK, tree, PROOF_LIMITS)
        multiplied = await sandbox.run(MULTIPLY, tree, PROOF_LIMITS)
    except SandboxError as error:
        raise PreflightError(f"the sandbox cannot be made: {error.message}", hint=MEND + INSTALL) from error
    finally:
        await run_to_end(folder.cleanup)
    if holes := find_holes(looked, multiplied):
        raise PreflightError(f"the sandbox does not hold: {'; '.join(holes)}", hint=MEND, holes=list(holes))
    digests = tuple(hashlib.sha256(program).hexdigest() for program in sandbox.filters)
    return SandboxProof(kind=sandbox.kind, version=sandbox.version, filters=digests)
