"""Moves the night's branch in the user's repository: compare-and-swap, never cut in two, never stopped by a dead git.

Invariants:
- a move that was begun is waited for, however often its caller is cancelled: a killed git leaves its lock behind;
- a lock on the night's own branch that is older than ``STALE_S`` belongs to nobody: one night runs at a time, and
  nobody else writes that branch for longer than the blink of a ``git gc``.
"""

from pathlib import Path

import structlog

from pantheon.adapters.finishing import finish
from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.threads import run_to_end
from pantheon.core.errors import GitError
from pantheon.ports.clock import Clock

STALE_S = 3.0
"""Age, in seconds, from which a lock on the night's branch is one that a killed git left."""
LOOK_S = 0.2

_log = structlog.get_logger(__name__)


async def move_branch(git: GitRunner, ref: str, new: str, old: str | None, clock: Clock) -> None:
    """Move ``ref`` from ``old`` to ``new``.

    Args:
        git: the user's git directory.
        ref: full name of the branch.
        new: id of the commit.
        old: where it must be now; None when it must not exist.
        clock: for the age of a lock, and for waiting.

    Raises:
        GitError: it is not at ``old``, or cannot be moved.

    Cancellation:
        The move is whole or was not begun.
    """
    try:
        await _update(git, ref, new, old)
    except GitError:
        lock = git.git_dir / f"{ref}.lock"
        if not await run_to_end(lock.exists):
            raise
        await _wait_for(lock, clock)
        await _update(git, ref, new, old)


async def _wait_for(lock: Path, clock: Clock) -> None:
    """Wait until a lock is gone or stale, and remove a stale one."""
    waited_s = 0.0
    while await run_to_end(lock.exists):
        if waited_s >= STALE_S or await run_to_end(lambda: _age_s(lock, clock)) >= STALE_S:
            await run_to_end(lambda: lock.unlink(missing_ok=True))
            _log.warning("stale_lock_removed", lock=str(lock))
            return
        await clock.sleep(LOOK_S)
        waited_s += LOOK_S


def _age_s(lock: Path, clock: Clock) -> float:
    try:
        return clock.now().timestamp() - lock.stat().st_mtime
    except FileNotFoundError:
        return 0.0


async def _update(git: GitRunner, ref: str, new: str, old: str | None) -> None:
    await finish(
        git.run("update-ref", "--no-deref", "-m", "pantheon: accepted", ref, new, old or ""),
        name=f"move {ref}",
    )
