"""Runs what must go on for as long as something else does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pantheon.core.errors import PantheonError


@asynccontextmanager
async def alongside(work: Mapping[str, Callable[[], Coroutine[Any, Any, None]]]) -> AsyncIterator[None]:
    """Run endless work for the length of a ``with``; what the body raises comes out as itself, and not in a group.

    Args:
        work: name -> what makes the coroutine, which runs until it is cancelled.

    Raises:
        ExceptionGroup: some of the work failed; the body was cancelled for it.

    Cancellation:
        The work is cancelled too, and waited for.
    """
    failed: PantheonError | None = None
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(make(), name=name) for name, make in work.items()]
        try:
            yield
        except PantheonError as error:
            failed = error
        finally:
            for task in tasks:
                task.cancel()
    if failed is not None:
        raise failed
