"""Takes back a change that landed: by a commit on the night's branch, or by telling what to say to git.

The night's branch is Pantheon's and moves by compare-and-swap; a branch of the user's never moves. So a change that has
left the night's branch is not taken back here: the command that does it is told instead.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pantheon.core.dsse import PAYLOAD_TYPE, pae, seal
from pantheon.core.errors import ConfigError, GitError, MergeConflictError
from pantheon.core.history import NIGHT_TRAILER, Commit, standing
from pantheon.core.operation import TASK_TRAILER
from pantheon.core.records import NightRecord
from pantheon.core.taken_back import UNDO_EVENT
from pantheon.core.undo import Undo, undo_message, undo_statement
from pantheon.ports.clock import Clock
from pantheon.ports.history import History
from pantheon.ports.signer import Signer
from pantheon.ports.store import Store

SWAP_TRIES = 5
HEADS = "refs/heads/"


@dataclass(frozen=True)
class Undone:
    """What came of taking back one change."""

    task: str
    night: str
    commit: str
    """The commit that landed."""
    subject: str
    result: Literal["undone", "would_undo", "undone_before", "elsewhere"]
    undo: str = ""
    """The commit that takes it back; empty where there is none."""
    signed: bool = False
    where: tuple[str, ...] = ()
    """Full names of the user's branches that have it."""
    commands: tuple[str, ...] = ()
    """What takes it back there."""


@dataclass(frozen=True)
class Undoer:
    """Takes back changes of one night.

    Args:
        history: the repository.
        store: where it is recorded.
        clock: for the time of it.
        signer: the user's key; None where there is none.
        by: who takes it back.
    """

    history: History
    store: Store
    clock: Clock
    signer: Signer | None
    by: str

    async def undo(self, night: NightRecord, task: str, *, reason: str, dry_run: bool = False) -> Undone:
        """Take back what a task landed. Done again, it changes nothing and says so.

        Args:
            night: the night that landed it.
            task: key of the task.
            reason: why, for the record.
            dry_run: only say what would be done.

        Raises:
            ConfigError: it has landed nothing.
            MergeConflictError: later changes of the branch build on it.
            GitError: the branch is checked out somewhere, or does not stand still.

        Cancellation:
            The branch has moved or it has not; saying it again completes the record.
        """
        last = None
        for _ in range(SWAP_TRIES):
            commits = await self._branch(night)
            landed = _find_landed(commits, night, task)
            before = next((one for one in commits if one.takes_back == (landed.id,)), None)
            if before is not None:
                done = Undone(task, night.id, landed.id, landed.subject, "undone_before", before.id)
                if not dry_run:
                    await self._record(done, reason)
                return done
            if (elsewhere := await self._elsewhere(night, landed, task)) is not None:
                return elsewhere
            tree = await self._take_out(landed, commits)
            if dry_run:
                return Undone(task, night.id, landed.id, landed.subject, "would_undo")
            try:
                done = await self._land(night, landed, commits[-1], tree, task, reason)
            except GitError as error:
                if (await self._branch(night))[-1].id == commits[-1].id:
                    raise
                last = error
                continue
            await self._record(done, reason)
            return done
        raise GitError(f"the branch {night.branch} does not stand still: {last}", hint="Try it again.")

    async def _branch(self, night: NightRecord) -> Sequence[Commit]:
        ref = f"{HEADS}{night.branch}"
        if all(one.name != ref for one in await self.history.branches()):
            raise ConfigError(
                f"there is no branch {night.branch} any more",
                hint="What was merged from it is taken back with: git revert COMMIT",
            )
        return await self.history.commits(ref, without=(night.base_commit,))

    async def _elsewhere(self, night: NightRecord, landed: Commit, task: str) -> Undone | None:
        """Return where the user's branches have the change; None where none has."""
        own = f"{HEADS}pantheon/night-"
        branches = {
            one.name: one.commit for one in await self.history.branches() if not one.name.startswith(own)
        }
        tips, base = dict.fromkeys(branches.values()), (night.base_commit,)
        everywhere = await self.history.commits(*tips, without=base) if tips else ()
        having = [one for one in everywhere if one.id == landed.id or (night.id, task) in one.landed]
        named = {name for one in having for name in await self.history.contains(one.id)} & branches.keys()
        copies: dict[str, str] = {}
        for name in sorted(named):
            for one in standing(await self.history.commits(branches[name], without=base)):
                if one in having:
                    copies[name] = one.id
        if not copies:
            return None
        # A branch may be called like an option, which no quoting helps against: of it only the commit is told.
        plain = {
            name: one for name, one in copies.items() if name.startswith(HEADS) and f"{HEADS}-" not in name
        }
        commands = [_command(name, commit) for name, commit in plain.items()]
        fetched = [f"git revert --no-edit {commit}" for commit in copies.values()]
        return Undone(
            task, night.id, landed.id, landed.subject, "elsewhere",
            where=tuple(copies), commands=tuple(dict.fromkeys(commands or fetched)),
        )  # fmt: skip

    async def _take_out(self, landed: Commit, commits: Sequence[Commit]) -> str:
        head = commits[-1].id
        try:
            return await self.history.pick(landed.id, landed.parents[0], head)
        except MergeConflictError as error:
            touched = set(await self.history.paths(landed.parents[0], landed.id))
            later = [
                one
                for one in standing(commits)[::-1]
                if one.id != landed.id and touched & set(await self.history.paths(one.parents[0], one.id))
            ]
            tasks = ", ".join(key for one in later for _, key in one.landed)
            raise MergeConflictError(
                f"{landed.subject!r} cannot be taken out of the branch: {error.message}",
                hint=f"Later changes build on it; take those back first: {tasks}" if tasks else "",
            ) from error

    async def _land(
        self, night: NightRecord, landed: Commit, head: Commit, tree: str, task: str, reason: str
    ) -> Undone:
        undo = Undo(
            night=night.id, task=task, commit=landed.id, parent=head.id, tree=tree,
            reason=reason, by=self.by, at=self.clock.now(),
        )  # fmt: skip
        envelope = None
        if self.signer is not None:
            statement = undo_statement(undo)
            signature = await self.signer.sign(pae(PAYLOAD_TYPE, statement))
            envelope = seal(statement, [(self.signer.key_id, signature)]).to_bytes()
        commit = await self.history.commit(tree, head.id, undo_message(undo, landed.subject, envelope))
        await self.history.move(night.branch, commit, old=head.id, base=night.base_commit)
        return Undone(
            task, night.id, landed.id, landed.subject, "undone", commit, signed=envelope is not None
        )

    async def _record(self, done: Undone, reason: str) -> None:
        known = await self.store.events(done.night, name=UNDO_EVENT)
        if all(event.details.get("undo") != done.undo for event in known):
            details = {"commit": done.commit, "undo": done.undo, "reason": reason, "by": self.by}
            await self.store.add_event(done.night, done.task, UNDO_EVENT, details)


def _find_landed(commits: Sequence[Commit], night: NightRecord, task: str) -> Commit:
    for one in reversed(commits):
        if one.said(TASK_TRAILER) == (task,) and one.said(NIGHT_TRAILER) == (night.id,):
            return one
    raise ConfigError(
        f"{task} has landed nothing on {night.branch}", hint=f"pantheon gate explain {shlex.quote(task)}"
    )


def _command(branch: str, commit: str) -> str:
    return f"git switch {shlex.quote(branch.removeprefix(HEADS))} && git revert --no-edit {commit}"
