"""Cancels a task at an exact step: each suspension of a coroutine can be tried, none is left to the clock."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class Steps:
    """Counts every step of every ``asyncio.Task`` it makes and cancels one of them at a given count.

    Args:
        at: the step at which ``victim`` is cancelled; 0 never.
        late: cancel once what that step waits for is done, before who waits has heard of it; else before it waits.
    """

    def __init__(self, at: int = 0, *, late: bool = False) -> None:
        self.at = at
        self.count = 0
        self.victim: asyncio.Task[Any] | None = None
        self._late = late

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Return the victim, at work; only its own steps are counted unless ``make`` makes the others."""
        self.victim = self.make(asyncio.get_running_loop(), work, name=name)
        return self.victim

    def make(
        self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **more: Any
    ) -> asyncio.Task[Any]:
        """Return a task that is counted; a loop's task factory."""
        return asyncio.Task(_Counted(self, work), loop=loop, **more)

    def begin(self) -> None:
        """A step begins."""
        self.count += 1
        if self.count == self.at and not self._late:
            self._cancel()

    def wait(self, what: Any) -> None:
        """A step ends by waiting for ``what``."""
        if self.count != self.at or not self._late:
            return
        if asyncio.isfuture(what):
            # The task's own callback is added after this one, so it hears of the cancellation first.
            what.add_done_callback(lambda _: self._cancel())
        else:
            self._cancel()

    def _cancel(self) -> None:
        if self.victim is not None:
            self.victim.cancel()


class _Counted(Coroutine[Any, Any, Any]):
    """A coroutine that is counted at every step; one that never begins is closed with its task."""

    def __init__(self, steps: Steps, work: Coroutine[Any, Any, Any]) -> None:
        self._steps = steps
        self._work = work

    def send(self, value: Any) -> Any:
        self._steps.begin()
        what = self._work.send(value)
        self._steps.wait(what)
        return what

    def throw(self, *error: Any) -> Any:
        self._steps.begin()
        what = self._work.throw(*error)
        self._steps.wait(what)
        return what

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._work.__await__()
