"""A batch that lands is called off at each call of git in turn: nobody lands twice, or unheard, and nobody is lost."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pantheon.core.records import NodeState
from pantheon.engine.results import NodeResult
from pantheon.testing.merging import BRANCH, MergeBench
from pantheon.testing.repository import FakeRepository

LINES = b"".join(b"%d\n" % n for n in range(40))
CHANGES = 3
ENOUGH = 300
"""More calls than a landing makes."""


class Interrupted(FakeRepository):
    """Does something in the middle of one of its calls, and goes on as git would."""

    def __init__(self) -> None:
        super().__init__({"a.txt": LINES, "b.txt": LINES})
        self.calls = 0
        self.at = 0
        self.then: Callable[[], object] = lambda: None

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **more: Any) -> Any:
            self.calls += 1
            if self.calls == self.at:
                self.then()
            await asyncio.sleep(0)
            work: Awaitable[Any] = found(*args, **more)
            return await work

        return call


async def land_interrupted(who: int, at: int) -> bool:
    """Land a batch one of whom is called off at a call, then do again what was called off; False when all was over."""
    repository = Interrupted()
    queue = MergeBench(repository, repository.head, judge=lambda _: {"t": True}, batch=CHANGES)
    await queue.land(await queue.change("first", "b.txt", 0, "moved"))
    waiting = [await queue.change(f"t{n}", "a.txt", 3 * n, f"word{n}.") for n in range(CHANGES)]
    repository.calls, repository.at = 0, at
    async with asyncio.TaskGroup() as group:
        landing = [group.create_task(queue.land(one), name=one.task.id) for one in waiting]
        repository.then = landing[who].cancel
    reached = repository.calls >= at
    repository.at = 0
    landed = await queue.landed()
    for one, context in zip(landing, waiting, strict=True):
        heard: NodeResult | None = None if one.cancelled() else one.result()
        assert (heard is not None and heard.state is NodeState.SUCCEEDED) == (context.task_key in landed)
        assert heard is not None or one is landing[who], "only who was called off is"
    if landing[who].cancelled():
        assert (await queue.land(waiting[who])).state is NodeState.SUCCEEDED
    found = await queue.landed()
    assert sorted(found) == ["b/first", "b/t0", "b/t1", "b/t2"]
    words = repository.commits[repository.branches[BRANCH]].files["a.txt"]
    assert all(b"word%d." % n in words for n in range(CHANGES))
    return reached


@pytest.mark.parametrize("who", range(CHANGES))
async def test_called_off_at_every_call(who: int) -> None:
    """Whose turn it is, or who only waits: heard of exactly if landed; again, it is there once."""
    for at in range(1, ENOUGH):
        if not await land_interrupted(who, at):
            break
    else:
        pytest.fail("the landing never ended")
    assert at > 20, "a landing makes some dozens of calls"
