"""Follows landed changes into a branch of the user's, and tells what became of them. It only reads."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pantheon.core.aftermath import (
    ChangeFate,
    FileTrace,
    Trace,
    classify,
    find_merged,
    lines_left,
)
from pantheon.core.errors import GitError
from pantheon.core.history import Commit, find_reverts, shown_path
from pantheon.core.records import AttemptRecord, NightRecord, TaskOutcome, TaskRecord
from pantheon.core.taken_back import UNDO_EVENT, taken_back
from pantheon.ports.history import History, LeftFile
from pantheon.ports.store import Store


@dataclass(frozen=True)
class Landed:
    """What the store knows of one landed change."""

    task: TaskRecord
    commit: str
    agents: tuple[tuple[str, str], ...]
    reviewers: tuple[tuple[str, str], ...]


@dataclass
class Follower:
    """Follows changes into one branch.

    Args:
        history: the repository.
        store: what landed, and who made and passed it.
        tip: the commit that the branch is at.
    """

    history: History
    store: Store
    tip: str
    _now: Mapping[str, str] | None = None
    _renames: dict[str, Mapping[str, str]] = field(default_factory=dict)

    async def follow(self, night: NightRecord) -> tuple[ChangeFate, ...]:
        """Return what became of every change of a night.

        Raises:
            GitError: the branch is not there.
            StoreError: the store cannot be read.
        """
        tasks = await self.store.tasks(night=night.id)
        landed = find_landed(tasks, await self.store.attempts(night.id))
        back = taken_back(await self.store.events(night.id, name=UNDO_EVENT))
        commits = await self.history.commits(self.tip, without=(night.base_commit,))
        reverts = find_reverts(commits)
        found = []
        for one in landed:
            trace = await self._trace(night, one, commits, reverts, taken=one.task.key in back)
            fate, how = classify(trace)
            found.append(
                ChangeFate(
                    night=night.id,
                    task=one.task.key,
                    package=one.task.package,
                    commit=one.commit,
                    merged=trace.merged,
                    fate=fate,
                    how=how,
                    lines_added=sum(file.added for file in trace.files),
                    lines_left=lines_left(trace),
                    agents=one.agents,
                    reviewers=one.reviewers,
                )
            )
        return tuple(found)

    async def _trace(
        self,
        night: NightRecord,
        landed: Landed,
        commits: Sequence[Commit],
        reverts: Mapping[str, str],
        *,
        taken: bool,
    ) -> Trace:
        merged = find_merged(commits, night.id, landed.task.key, landed.commit)
        own = await self._own_files(landed.commit)
        if merged is None and own:
            wanted = {file.path: file.blob for file in own}
            name = await self.history.find_contents(self.tip, night.base_commit, wanted)
            merged = next((one for one in commits if one.id == name), None)
        if merged is None:
            return Trace(taken_back=taken)
        by = reverts.get(merged.id) or reverts.get(landed.commit)
        if by is not None:
            return Trace(merged=merged.id, reverted_by=by)
        mine = {file.path for file in own}
        files = await self.history.left_files(merged.parents[0], merged.id)
        # Where changes were squashed into one commit, only the files of this one are its own.
        theirs = [file for file in files if file.path in mine]
        if not theirs and len(merged.landed) <= 1:
            theirs = list(files)
        return Trace(merged=merged.id, files=tuple([await self._follow(merged.id, file) for file in theirs]))

    async def _own_files(self, commit: str) -> tuple[LeftFile, ...]:
        try:
            return await self.history.left_files(f"{commit}^", commit)
        except GitError:
            # The night's branch was deleted and its objects with it; what was merged says itself what it is.
            return ()

    async def _follow(self, merged: str, file: LeftFile) -> FileTrace:
        if self._now is None:
            self._now = await self.history.contents(self.tip)
        now: str | None = file.path
        if file.path not in self._now:
            if merged not in self._renames:
                self._renames[merged] = await self.history.renames(merged, self.tip)
            now = self._renames[merged].get(file.path)
        same = now is not None and self._now.get(now) == file.blob
        left = 0
        if now is not None and file.added and not same:
            left = await self.history.lines_left(merged, self.tip, now)
        return FileTrace(
            path=shown_path(file.path),
            now=None if now is None else shown_path(now),
            same=same,
            added=file.added,
            left=left,
        )


def find_landed(tasks: Sequence[TaskRecord], attempts: Sequence[AttemptRecord]) -> tuple[Landed, ...]:
    """Return what landed, with who made it and who passed it, by the last word of each node."""
    last: dict[str, dict[str, AttemptRecord]] = defaultdict(dict)
    for one in attempts:
        task, _, node = one.node.rpartition("#")
        last[task][node] = one
    found = []
    for record in tasks:
        if record.outcome is not TaskOutcome.ACCEPTED:
            continue
        commit, agents, reviewers = "", [], []
        for one in last[record.key].values():
            metrics: Mapping[str, Any] = {} if one.result is None else one.result.metrics
            said = metrics.get("output")
            output: Mapping[str, Any] = said if isinstance(said, dict) else {}
            name, _, version = str(metrics.get("agent") or "").partition("@")
            if name and output.get("verdict") == "pass":
                reviewers.append((name, version))
            elif name and "verdict" not in output:
                agents.append((name, version))
            elif not name and isinstance(output.get("commit"), str):
                commit = output["commit"]
        if commit:
            found.append(Landed(record, commit, tuple(agents), tuple(reviewers)))
    return tuple(found)
