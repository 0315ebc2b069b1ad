"""Whose word the queue is: which keys its batches say they were signed by.

A key id in an envelope is a hint. It is good enough to name a key that is missing, and decides nothing else.
"""

from contextlib import suppress

from pantheon.core.dsse import parse_envelope
from pantheon.core.errors import SignatureError, StoreError
from pantheon.ports.queue import QueueFolder


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
