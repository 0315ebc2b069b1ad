"""The one way to do what a cancellation must not cut in two."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from pantheon.ports.outlast import outlast

T = TypeVar("T")


async def to_end(work: Coroutine[Any, Any, T]) -> tuple[T, bool]:
    """Run ``work`` to its end whatever cancellations arrive; for short work whose every wait is bounded.

    Returns:
        Its result, and whether a cancellation arrived meanwhile: the caller finishes what it owes and raises it.

    Raises:
        Exception: whatever ``work`` raised.
    """
    # Shielded from the caller's cancellation, so it cannot be a child of the caller's TaskGroup; waited for below.
    running = asyncio.get_running_loop().create_task(work, name="to the end")
    cancelled = await outlast(running)
    return running.result(), cancelled


def take_back_cancellation() -> None:
    """Forget a cancellation of the current ``asyncio.Task`` that was answered in another way."""
    if (task := asyncio.current_task()) is not None:
        task.uncancel()
