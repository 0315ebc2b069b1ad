"""git's processes and what they leave, cancelled at an exact step."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.git.branch_ref import move_branch
from pantheon.adapters.git.command import GitRunner
from pantheon.core.errors import GitError
from pantheon.testing.clock import FakeClock
from pantheon.testing.steps import Steps

MANY_STEPS = 100


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
