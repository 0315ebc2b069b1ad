"""What keeps a night from being published: the hour, its evidence, whom it rests on, and what would go along."""

from collections.abc import Collection, Sequence
from pathlib import Path

from pantheon.core.errors import PreflightError
from pantheon.core.records import AttemptRecord, NightRecord
from pantheon.ports.history import History
from pantheon.report.canaries import rate_reviewers_by_canaries
from pantheon.shell.config import Project, UserPaths
from pantheon.shell.environment import CONTAINED, environment
from pantheon.shell.signer_wiring import witness_path
from pantheon.shell.verify_wiring import read_key, verify_nights
from pantheon.shell.wiring import find_night_holder


async def refuse_at_night(project: Project) -> None:
    """Refuse inside of a night's containment and beside a night that runs. Raises ``PreflightError``."""
    if CONTAINED in environment():
        raise PreflightError("nothing is published at night", hint="Publish by day, outside of the night.")
    if holder := await find_night_holder(project):
        raise PreflightError(f"a night runs ({holder}); nothing is published at night")


def require_sound(project: Project, user: UserPaths, night: NightRecord, key: Path | None) -> None:
    """Refuse a night that does not verify against key, witness and branch. Raises ``PreflightError``."""
    witness = witness_path(project, user)
    verdicts = verify_nights(
        project.artifacts / night.id,
        read_key(key, user),
        witness=witness if witness.exists() else None,
        repository=project.root,
        progress=lambda _done, _total, _what: None,
    )
    defects = [f"{one.flaw}: {one.where}: {one.what}" for verdict in verdicts for one in verdict.defects]
    if defects or not all(verdict.sound and verdict.closed for verdict in verdicts):
        shown = "; ".join(defects[:3]) or "its ledger is not closed"
        raise PreflightError(
            f"night {night.id} does not verify, so it is not published: {shown}",
            hint=f"pantheon verify --repository . {project.config.folders.artifacts}/{night.id}",
        )


def require_trusted(night: NightRecord, attempts: Sequence[AttemptRecord], landed: Collection[str]) -> None:
    """Refuse changes that a reviewer has passed whom the night's canaries disqualified. Raises ``PreflightError``."""
    caught = {one.reviewer for one in rate_reviewers_by_canaries(night, attempts) if one.disqualified}
    resting = [
        one.node.rpartition("#")[0]
        for one in attempts
        if one.result is not None and str(one.result.metrics.get("agent") or "").partition("@")[0] in caught
    ]
    if found := [task for task in dict.fromkeys(resting) if task in landed]:
        raise PreflightError(
            f"{', '.join(found[:5])}{' and more' if len(found) > 5 else ''}: landed on the word of "
            f"{' and '.join(sorted(caught))}, disqualified since",
            hint="Take them back with pantheon undo, or read them and say --accept-distrusted REASON.",
        )


async def require_pushed(history: History, night: NightRecord, remote: str, target: str) -> None:
    """Refuse to publish commits of the user's along with a night that began on top of them.

    Raises:
        PreflightError: the remote's branch, as it was fetched last, does not have the commit the night began on.
    """
    there = f"refs/remotes/{remote}/{target}"
    if there not in await history.contains(night.base_commit):
        raise PreflightError(
            f"{remote}/{target} does not have {night.base_commit[:12]}, on which night {night.id} began: "
            "its pull requests would publish commits of yours too",
            hint=f"Push {target} first, or name the branch that has it: --target BRANCH (git fetch {remote} asks).",
        )
