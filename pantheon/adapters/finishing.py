"""Work of the loop that a cancellation must not cut in two; for blocking work there is ``adapters.threads``."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

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
    # No child of the caller's TaskGroup: that would cancel it.
    running = asyncio.get_running_loop().create_task(work, name=name)
    cancelled = False
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        if not running.cancelled():
            running.exception()
        raise asyncio.CancelledError
    return running.result()
