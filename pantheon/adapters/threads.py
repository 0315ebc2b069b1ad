"""Blocking work in a thread that cancellation waits for.

``asyncio.to_thread`` leaves the thread at work when it is cancelled. That will not do for what writes to files under a
lock: the lock would be given back while the work goes on.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
Stopped = Callable[[], bool]
"""Tells whether the work should end early; asked between chunks."""


async def run_stoppable(work: Callable[[Stopped], T]) -> T:
    """Run ``work`` in a thread.

    Args:
        work: gets a function that tells whether to stop; what it returns after that is dropped.

    Cancellation:
        The work is told to stop, and has ended when this returns, unless a second cancellation comes in between.
    """
    stop = threading.Event()
    future = asyncio.get_running_loop().run_in_executor(None, work, stop.is_set)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([future])
        future.exception()
        raise


async def run_to_end(work: Callable[[], T]) -> T:
    """Run short ``work`` in a thread.

    Cancellation:
        The work has ended when this returns, unless a second cancellation comes in between.
    """
    return await run_stoppable(lambda _: work())
