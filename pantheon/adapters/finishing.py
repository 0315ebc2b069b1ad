"""Work of the loop that a cancellation must not cut in two; for blocking work there is ``adapters.threads``."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pantheon.ports.outlast import outlast

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T], *, name: str) -> T:
    """Run short ``work``, whose every wait is bounded.

    Args:
        work: what is done.
        name: of its ``asyncio.Task``.

    Raises:
        Exception: whatever ``work`` raised.

    Cancellation:
        The work has ended when this returns, however often it is cancelled. The cancellation goes on even where the
        work failed: whoever takes the failure for an answer would work on.
    """
    running, cancelled = await _end(work, name)
    if cancelled:
        if not running.cancelled():
            running.exception()
        raise asyncio.CancelledError
    return running.result()


async def take(
    work: Coroutine[Any, Any, T], give_back: Callable[[T], Coroutine[Any, Any, None]], *, name: str
) -> T:
    """Get what somebody has to give back, such as a process.

    Args:
        work: gets it, soon.
        give_back: ends it; told what ``work`` returned.
        name: of their ``asyncio.Task``.

    Raises:
        Exception: whatever ``work`` raised.

    Cancellation:
        What was got meanwhile was given back; nobody else could, who never heard of it.
    """
    running, cancelled = await _end(work, name)
    if not cancelled:
        return running.result()
    failure: BaseException | None = None
    if not running.cancelled() and running.exception() is None:
        giving, _ = await _end(give_back(running.result()), name)
        failure = None if giving.cancelled() else giving.exception()
    raise asyncio.CancelledError from failure


async def _end(work: Coroutine[Any, Any, T], name: str) -> tuple["asyncio.Task[T]", bool]:
    """Wait for the end of some work; returns whether a cancellation arrived meanwhile."""
    # No child of the caller's TaskGroup: that would cancel it.
    running = asyncio.get_running_loop().create_task(work, name=name)
    return running, await outlast(running)
