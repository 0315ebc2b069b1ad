"""git's processes and what they leave, cancelled at an exact step."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.git import command
from pantheon.adapters.git.branch_ref import move_branch
from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.pooled_tree import PooledTree
from pantheon.adapters.git.tree_state import TreeState, hold
from pantheon.core.errors import GitError
from pantheon.testing.clock import FakeClock
from pantheon.testing.steps import Steps
from pantheon.testing.user_repository import git, make_repository

MANY_STEPS = 100
HANGS_S = 30


class Refusing(GitRunner):
    """A git that refuses to move any branch."""

    async def run(self, *args: str, **more: Any) -> tuple[int, bytes]:
        await asyncio.sleep(0)
        raise GitError(f"{args[0]}: it is elsewhere")


@pytest.mark.parametrize("late", [False, True])
async def test_a_refused_move_that_is_cancelled_is_cancelled(tmp_path: Path, late: bool) -> None:
    """Who calls a move off is not answered that it failed: for that answer another way would be tried."""
    for at in range(1, MANY_STEPS):
        steps = Steps(at, late=late)
        moving = move_branch(Refusing(tmp_path), "refs/heads/night", "new", "old", FakeClock())
        task = steps.start(moving, name="move")
        await asyncio.wait([task])
        if steps.count < at:
            assert isinstance(task.exception(), GitError)
            assert at > 3, "git and the disk are waited for"
            return
        assert task.cancelled() or (steps.count == at and task.exception() is not None)
    pytest.fail("the move never came to its end")


class Obliging(GitRunner):
    """A git that finds something to commit in every work tree, and writes down what it was asked."""

    def __init__(self, git_dir: Path) -> None:
        super().__init__(git_dir)
        self.asked: list[str] = []

    async def run(self, *args: str, **more: Any) -> tuple[int, bytes]:
        await asyncio.sleep(0)
        self.asked.append("reset" if "--reset" in args else args[0])
        return 0, {"write-tree": b"tree\n", "commit-tree": b"work\n"}.get(args[0], b"\n")


@pytest.mark.parametrize("late", [False, True])
async def test_what_a_killed_night_left_is_kept_though_the_first_lease_was_cancelled(
    tmp_path: Path, late: bool
) -> None:
    """Wherever a lease is cancelled, nothing is removed from a tree before what stands there is kept."""
    for at in range(1, MANY_STEPS):
        folder = tmp_path / f"{at}" / "00"
        folder.mkdir(parents=True)
        git = Obliging(tmp_path / "git")
        async with hold(folder.with_name("00.state")) as left:
            left.write(TreeState("a killed night", "where it stood"))
        tree = PooledTree(git, folder, owner="this night", clock=FakeClock())

        async def lease(tree: PooledTree = tree) -> None:
            async with tree.lease("commit"):
                await asyncio.sleep(0)

        steps = Steps(at, late=late)
        await asyncio.wait([steps.start(lease(), name="lease")])
        await lease()
        assert "update-ref" in git.asked[: git.asked.index("reset")]
        if steps.count < at:
            assert at > 10, "git and the disk are waited for"
            return
    pytest.fail("the lease never came to its end")


async def test_a_lease_takes_away_what_a_killed_git_of_the_last_one_locked(tmp_path: Path) -> None:
    """A commit that was cut by force leaves nothing that keeps the next one from being made."""
    folder, git = tmp_path / "00", Obliging(tmp_path / "git")
    tree = PooledTree(git, folder, owner="this night", clock=FakeClock())
    locks = [git.git_dir / "refs/pantheon/trees/00.lock", tmp_path / "00.index.lock"]
    locks[0].parent.mkdir(parents=True)
    for _ in range(2):
        async with tree.lease("commit"):
            assert not any(lock.exists() for lock in locks)
        for lock in locks:
            lock.touch()
    assert git.asked.count("reset") == 1, "the second lease only follows"


LOCKING = """#!/bin/sh
for lock; do :; done
trap '{on_term}' TERM
: > "$lock"
while :; do sleep 0.01; done
"""


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("on_term", "left"), [('rm "$lock"; exit 1', False), ("", True)])
async def test_a_cancelled_git_takes_its_locks_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_term: str, left: bool, late: bool
) -> None:
    """It is told to end before it is killed: a lock that it left would keep everybody else out for ever."""
    program, lock = tmp_path / "git", tmp_path / "lock"
    program.write_text(LOCKING.replace("{on_term}", on_term))
    program.chmod(0o755)
    monkeypatch.setattr(command, "find_git", lambda: str(program))
    # Patience for the one that obeys, however slowly; little for the one that never will.
    monkeypatch.setattr(command, "END_S", 0.1 if left else HANGS_S)
    children: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def locked(*args: str, **more: Any) -> asyncio.subprocess.Process:
        child = await start(*args, **more)
        children.append(child)
        while not lock.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.001)
        return child

    monkeypatch.setattr(asyncio, "create_subprocess_exec", locked)
    # Step 1 waits for the process, step 2 for what it says.
    for at in (1, 2):
        steps = Steps(at, late=late and at == 1)
        async with asyncio.timeout(2 * HANGS_S):
            await asyncio.wait([steps.start(GitRunner(tmp_path).run("any", str(lock)), name="git")])
        assert children.pop().returncode is not None
        assert lock.exists() == left
        lock.unlink(missing_ok=True)


@pytest.mark.parametrize("words", [1, 2, 3])
async def test_a_git_with_much_to_say_ends_at_once_when_it_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: int
) -> None:
    """What nobody reads any more keeps nobody waiting, however often git is called off; it is reaped."""
    monkeypatch.setattr(command, "END_S", 10 * HANGS_S)
    root = make_repository(tmp_path / "user", {"large.bin": os.urandom(5_000_000)})
    blob = git(root, "rev-parse", "HEAD:large.bin").strip()
    runner = GitRunner(root / ".git")
    asked = f"{blob}\n".encode() * 200
    task = asyncio.get_running_loop().create_task(runner.run("cat-file", "--batch", stdin=asked), name="git")
    await asyncio.sleep(0.1)
    for _ in range(words):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.wait([task], timeout=HANGS_S)
    assert task.cancelled()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # noqa: ASYNC222 - it does not wait
