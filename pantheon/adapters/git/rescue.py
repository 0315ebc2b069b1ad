"""Keep what a killed attempt left in a work tree: a commit under a ref of the night's own git directory."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.commit_stream import message_bytes
from pantheon.adapters.git.folders import refuse_shared
from pantheon.adapters.threads import run_to_end
from pantheon.core.errors import GitError
from pantheon.ports.clock import Clock

REFS = "refs/pantheon/rescued"
MAX_KEPT = 50
_log = structlog.get_logger()


async def commit_whole(
    git: GitRunner, env: Mapping[str, str], keep: Sequence[int], *, parent: str, message: str
) -> str:
    """Return a commit of every file of a work tree, found by looking at each; ``parent`` when none differs.

    Args:
        git: the night's own git directory.
        env: names the index, the work tree, and who commits.
        keep: descriptors for git's processes.
        parent: the commit that the work tree stood at.
        message: the commit's message.

    Raises:
        GitError: git cannot read the work tree, or a file in it has a second name, which may be outside.
    """
    folder = Path(env["GIT_WORK_TREE"])
    try:
        await run_to_end(lambda: refuse_shared(folder))
    except OSError as error:
        raise GitError(f"the work tree {folder}: {error.strerror or error}") from error
    await git.run("read-tree", "-m", "-i", parent, env=env, keep=keep)
    await git.run("add", "--all", "--force", ".", env=env, keep=keep)
    _, tree = await git.run("write-tree", env=env, keep=keep)
    before = await git.text("rev-parse", f"{parent}^{{tree}}")
    if tree.decode().strip() == before:
        return parent
    return await git.text(
        "commit-tree", tree.decode().strip(), "-p", parent, stdin=message_bytes(message), env=env
    )


async def rescue(
    git: GitRunner, env: Mapping[str, str], keep: Sequence[int], *, folder: Path, open_at: str, clock: Clock
) -> str | None:
    """Keep what a work tree holds beyond ``open_at``; return the ref, None when there is nothing.

    At most ``MAX_KEPT`` are kept; the oldest give way, and the log tells their commits.

    Raises:
        GitError: git cannot read the work tree.
    """
    commit = await commit_whole(
        git,
        env,
        keep,
        parent=open_at,
        message=f"Left in work tree {folder.name} by a night that was killed\n",
    )
    if commit == open_at:
        return None
    stamp = clock.now().strftime("%Y%m%dT%H%M%SZ")
    ref = f"{REFS}/{stamp}-{folder.name}-{commit[:12]}"
    await git.run("update-ref", ref, commit)
    _log.warning("work_tree_rescued", tree=folder.name, ref=ref, commit=commit, started_at=open_at)
    listed = await git.text("for-each-ref", "--sort=refname", "--format=%(refname) %(objectname)", REFS)
    kept = [line.split(" ") for line in listed.split("\n") if line]
    for oldest, lost in kept[: max(0, len(kept) - MAX_KEPT)]:
        await git.run("update-ref", "-d", oldest, lost)
        _log.warning("rescued_work_dropped", ref=oldest, commit=lost, kept=MAX_KEPT)
    return ref
