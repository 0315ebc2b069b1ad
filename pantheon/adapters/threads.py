"""Blocking work in a thread that cancellation waits for.

``asyncio.to_thread`` leaves the thread at work when it is cancelled. That will not do for what writes to files under a
lock: the lock would be given back while the work goes on.
"""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from pantheon.ports.outlast import outlast

T = TypeVar("T")
Stopped = Callable[[], bool]
"""Tells whether the work should end early; asked between chunks."""


async def run_stoppable(work: Callable[[Stopped], T]) -> T:
    """Run ``work`` in a thread.

    Args:
        work: gets a function that tells whether to stop; what it returns after that is dropped.

    Cancellation:
        The work is told to stop, and has ended when this returns, however often it is cancelled.
    """
    stop = threading.Event()
    future = asyncio.get_running_loop().run_in_executor(None, work, stop.is_set)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await outlast(future)
        future.exception()
        raise


async def run_to_end(work: Callable[[], T]) -> T:
    """Run short ``work`` in a thread.

    Cancellation:
        The work has ended when this returns, however often it is cancelled.
    """
    return await run_stoppable(lambda _: work())


async def take_in_thread(work: Callable[[], T], give_back: Callable[[T], object]) -> T:
    """Get something in a thread that somebody has to give back, such as an open file.

    Args:
        work: gets it, soon.
        give_back: gives it back, in a thread too.

    Cancellation:
        What was got meanwhile was given back; nobody else could, who never heard of it.
    """
    got: list[T] = []
    try:
        await run_to_end(lambda: got.append(work()))
    except asyncio.CancelledError as cancelled:
        for one in got:
            try:
                await run_to_end(partial(give_back, one))
            except OSError as error:
                raise cancelled from error
        raise
    return got[0]
