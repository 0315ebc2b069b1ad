"""Keeps something asynchronous going beside a test that blocks, as one does that waits for a process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")
OPENS_IN_S = 10


@contextmanager
def in_thread(context: AbstractAsyncContextManager[T], *, opens_in_s: float = OPENS_IN_S) -> Iterator[T]:
    """Hold an asynchronous context open in a thread with a loop of its own, and yield what it yields."""
    ready, done = threading.Event(), threading.Event()
    opened: list[T] = []

    async def hold() -> None:
        async with context as one:
            opened.append(one)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    try:
        assert ready.wait(opens_in_s)
        yield opened[0]
    finally:
        done.set()
        thread.join()
