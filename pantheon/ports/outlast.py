"""The one wait that no cancellation ends, on both sides of the ports: whoever calls it owes the cancellation."""

import asyncio
from typing import Any


async def outlast(work: "asyncio.Future[Any]") -> bool:
    """Wait until ``work`` is done, which must be soon; its result and its failure stay with it.

    Cancellation:
        Noted: returns whether one arrived meanwhile, for the caller to raise.
    """
    cancelled = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            cancelled = True
    return cancelled
