"""What must not change in silence: the key that signed the queue, the store that knows what was worked, the model.

A key id in an envelope, and a task in a ledger that nobody verifies here, are hints. They are good enough to name what
is missing and to refuse, and allow nothing.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from pantheon.core.contained import CONTAINED_EVENT, ModelInForce
from pantheon.core.dsse import parse_envelope
from pantheon.core.errors import PreflightError, SignatureError, StoreError
from pantheon.ports.queue import QueueFolder
from pantheon.ports.store import Store

FindWorked = Callable[[Collection[str]], Mapping[str, str]]
"""Given the nights that are known, returns batch -> another night, whose ledger says that it worked it; blocking."""


def claimed_keys(queue: QueueFolder) -> dict[str, tuple[str, ...]]:
    """Return id of a key -> names of the batches that claim to be signed by it; blocking.

    Raises:
        StoreError: the queue cannot be read.
    """
    found: dict[str, list[str]] = {}
    for name in queue.names():
        # What is no envelope is told of where the queue is verified.
        with suppress(SignatureError, StoreError):
            for one in parse_envelope(queue.read_envelope(name)).signatures:
                found.setdefault(one.keyid, []).append(name)
    return {key: tuple(names) for key, names in found.items()}


def refuse_lost_key(queue: QueueFolder, place: str) -> None:
    """Refuse to begin with a new key where batches were signed by one that is not there any more; blocking.

    Args:
        queue: the project's.
        place: the private key's file, which does not exist.

    Raises:
        SignatureError: naming the key.
        StoreError: the queue cannot be read.
    """
    if claimed := claimed_keys(queue):
        key, names = next(iter(claimed.items()))
        raise SignatureError(
            f"there is no key at {place}, and the queue is signed by {key} ({len(names)} batches, such as {names[0]})",
            hint="Put that key back. If it is lost for good, move queue/*.attestation.json away and enqueue again.",
        )


async def refuse_worked_twice(store: Store, queue: QueueFolder, find_worked: FindWorked) -> None:
    """Refuse to work what the ledger of a night says was worked, where the store knows nothing of that night.

    Args:
        store: the store, which may be newer than the artifacts beside it.
        queue: the project's.
        find_worked: looks into the ledgers.

    Raises:
        PreflightError: naming each batch and its night.
        StoreError: store or queue cannot be read.
    """
    nights = {one.id for one in await store.nights()}
    worked = await asyncio.to_thread(find_worked, nights)
    if not worked:
        return
    batches = {one.name for one in await store.batches()}
    waiting = {one.batch for one in await store.tasks(pending=True)}
    waiting |= set(await asyncio.to_thread(queue.names)) - batches
    if again := sorted(waiting & set(worked)):
        named = "\n".join(f"  {batch}: night {worked[batch]}" for batch in again)
        raise PreflightError(
            f"batches would be worked again, for the store knows nothing of the night that worked them:\n{named}",
            hint="Restore .pantheon/. Or move queue/BATCH.* away; what is wanted again is enqueued with --label.",
            batches=again,
        )


async def refuse_other_model(
    store: Store, night: str, model: ModelInForce, *, accepted_because: str
) -> tuple[str, ...]:
    """Return what is different about the model that answers a resumed night, as sentences.

    Args:
        store: it holds what the night's processes noted of theirs.
        night: the night's id; one that is new has noted nothing.
        model: what answers now.
        accepted_because: the operator's reason to go on all the same; empty refuses.

    Raises:
        PreflightError: it is another model than the night's last process had, and no reason was given.
        StoreError: the store cannot be read.
    """
    noted = [event.details.get("model") for event in await store.events(night, name=CONTAINED_EVENT)]
    if not noted or noted[-1] == model.model_dump(mode="json"):
        return ()
    last = noted[-1] if isinstance(noted[-1], Mapping) else {}
    told = (
        f"the night was worked by the model {last.get('name')} ({str(last.get('digest'))[:12]}), "
        f"now {model.name} ({model.digest[:12]}) answers"
    )
    if not accepted_because:
        raise PreflightError(
            f"{told}; a night has one model",
            hint="Serve the first one again, or say why it is fine: pantheon night --accept-drift REASON",
        )
    return (told,)
