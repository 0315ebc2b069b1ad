"""Makes a night's branch into branches for pull requests: one for each group, from the night's base.

Nothing here pushes: what is made are commits, and on request branches of the user's repository. They are made by
picking the landed commits in a directory of Pantheon's own; the user's work tree is never touched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pantheon.core.errors import GitError, MergeConflictError, PreflightError
from pantheon.core.history import Commit, shown_path, standing
from pantheon.core.operation import TASK_TRAILER
from pantheon.core.publishing import Group, Landing, picked_message, plan_groups
from pantheon.core.records import NightRecord
from pantheon.ports.history import History

HEADS = "refs/heads/"


@dataclass(frozen=True)
class Made:
    """One group, made."""

    group: Group
    branch: str
    """Short name of its branch."""
    head: str
    """Its last commit."""
    there: str | None
    """Where the branch is already; None where there is none."""


@dataclass(frozen=True)
class Publication:
    """All groups of a night."""

    night: NightRecord
    groups: tuple[Made, ...]


async def make_publication(
    history: History, night: NightRecord, packages: Mapping[str, str], *, one: bool = False
) -> Publication:
    """Make the groups of a night's branch, as commits that nothing points to yet.

    Args:
        history: the repository.
        night: a closed night.
        packages: task key -> package.
        one: everything in one group.

    Raises:
        MergeConflictError: a change cannot be made without one that was taken back.
        PreflightError: a branch of that name holds something else.
        GitError: the branch is gone, or git refuses.
    """
    ref = f"{HEADS}{night.branch}"
    branches = {branch.name: branch.commit for branch in await history.branches()}
    if ref not in branches:
        return Publication(night, ())
    commits = standing(await history.commits(ref, without=(night.base_commit,)))
    landings = [await _landing(history, commit, packages) for commit in commits]
    by_id = {commit.id: commit for commit in commits}
    made = []
    for group in plan_groups(landings, one=one):
        head = await _pick(history, night, group, by_id)
        branch = f"pantheon/publish-{night.id}/{group.slug}"
        there = branches.get(f"{HEADS}{branch}")
        if there is not None:
            head = await _reuse(history, night, branch, there, head)
        made.append(Made(group, branch, head, there))
    await _require_whole(history, night, branches[ref], made)
    return Publication(night, tuple(made))


async def place_branches(history: History, publication: Publication) -> None:
    """Give each group its branch in the user's repository. Raises ``GitError`` where one is in the way."""
    for made in publication.groups:
        if made.there != made.head:
            await history.move(made.branch, made.head, old=made.there, base=publication.night.base_commit)


async def _landing(history: History, commit: Commit, packages: Mapping[str, str]) -> Landing:
    tasks = commit.said(TASK_TRAILER)
    task = tasks[0] if tasks else ""
    return Landing(
        commit=commit.id,
        parent=commit.parents[0],
        task=task,
        package=packages.get(task, ""),
        subject=commit.subject,
        paths=tuple(map(shown_path, await history.paths(commit.parents[0], commit.id))),
    )


async def _pick(history: History, night: NightRecord, group: Group, commits: Mapping[str, Commit]) -> str:
    head = night.base_commit
    for change in group.changes:
        try:
            tree = await history.pick(change.parent, change.commit, head)
        except MergeConflictError as error:
            raise MergeConflictError(
                f"{change.task} cannot be made without a change that was taken back: {error.message}",
                hint=f"Take it back too: pantheon undo {change.task} --reason TEXT",
            ) from error
        message = picked_message(commits[change.commit].message, change.commit)
        head = await history.commit(tree, head, message)
    return head


async def _reuse(history: History, night: NightRecord, branch: str, there: str, head: str) -> str:
    """Return the branch's own commit where it holds the same changes: a second time is the same time."""
    old, new = [await history.commits(one, without=(night.base_commit,)) for one in (there, head)]
    if [(one.tree, one.message) for one in old] != [(one.tree, one.message) for one in new]:
        raise PreflightError(
            f"the branch {branch} is there already and holds something else",
            hint=f"Look at it, and delete it: git branch -D {branch}",
        )
    return there


async def _require_whole(history: History, night: NightRecord, head: str, made: Sequence[Made]) -> None:
    """Refuse groups that are not together what the night's branch is."""
    tree = night.base_commit
    for one in made:
        merged = await history.pick(night.base_commit, one.head, tree)
        tree = await history.commit(merged, night.base_commit, "All\n")
    if await history.paths(tree, head):
        raise GitError(
            f"the groups of {night.branch} together are not what the branch is",
            hint="Publish all of it as one: pantheon publish --one",
        )
