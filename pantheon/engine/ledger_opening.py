"""Opens a night's ledger: finds what is there, refuses what was taken away, and has the night's keys delegated.

A ledger that is shorter than a checkpoint of it, or has another root, was altered or set back; the night does not go
on with it. One that is gone altogether is begun again, bound to what was lost. What a crash has left behind the last
whole line is cut off. A record tells of either.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from pantheon.core.canonical import digest_bytes
from pantheon.core.checkpoint import Checkpoint, note_text, open_note, parse_checkpoint
from pantheon.core.contained import CONTAINED_EVENT, Contained, contained_predicate, in_force
from pantheon.core.delegation import NIGHT_ROLE, night_origin, read_delegation, reviewer_role
from pantheon.core.dsse import open_envelope, parse_envelope
from pantheon.core.errors import SignatureError, VerificationError
from pantheon.core.ledger_index import LedgerIndex
from pantheon.core.records import NightRecord
from pantheon.core.statement import (
    CONTAINMENT_PREDICATE,
    DELEGATION_PREDICATE,
    RECOVERY_PREDICATE,
    parse_statement,
)
from pantheon.engine.ledger import NightLedger
from pantheon.ports.clock import Clock
from pantheon.ports.ledger import LedgerStore, OpenedLedger, Witness
from pantheon.ports.outlast import outlast
from pantheon.ports.signer import DelegationRequest, NightSigner

VALID_S = 24 * 3600.0
"""How long a night's keys count; one that lasts longer goes on with new ones when it is resumed."""


class EventLog(Protocol):
    """The part of ``ports.store.Store`` that is needed here."""

    async def add_event(
        self, night: str, subject: str, name: str, details: dict[str, Any] | None = None
    ) -> None:
        """Record something that is no transition."""
        ...


@asynccontextmanager
async def open_ledger(
    record: NightRecord,
    reviewers: Sequence[str],
    *,
    store: LedgerStore,
    witness: Witness,
    signer: NightSigner,
    clock: Clock,
    valid_s: float = VALID_S,
) -> AsyncIterator[NightLedger]:
    """Open the ledger of a night for the length of a ``with``; on the way out it is whole and checkpointed.

    Args:
        record: the night.
        reviewers: names of the reviewers; each gets a key of its own.
        store: the ledgers on disk.
        witness: remembers checkpoints elsewhere.
        signer: makes and holds the night's keys.
        clock: for the times of the statements.
        valid_s: how long the keys count.

    Raises:
        SignatureError: the ledger that is there was altered, cut or set back, or the signer refuses.
        ArtifactError: it cannot be read or written.
    """
    index = LedgerIndex(record.id, signer.public_key)
    opened = await store.open_night(record.id, index.take)
    try:
        origin = night_origin(record.id, record.base_commit)
        notes = await witness.notes()
        last = _last_checkpoint(index, origin, opened, notes)
        lost = _lost(index, origin, opened, notes)
        previous = last or lost or _previous_night(origin, notes)
        line = await signer.delegate(
            DelegationRequest(
                night=record.id,
                origin=origin,
                roles=(NIGHT_ROLE, *map(reviewer_role, dict.fromkeys(reviewers))),
                seq=index.size,
                previous=previous,
                valid_s=valid_s,
            )
        )
        payload = open_envelope(parse_envelope(line), [signer.public_key])
        delegation = read_delegation(parse_statement(payload))
        await opened.file.append([line])
        index.add(line, DELEGATION_PREDICATE, payload)
        ledger = NightLedger(
            file=opened.file,
            witness=witness,
            signer=signer,
            clock=clock,
            delegation=delegation,
            index=index,
            valid_s=valid_s,
            proven=last,
        )
        async with written(ledger):
            if opened.cut_bytes or lost is not None:
                await ledger.state(*_recovery(record, index, opened, lost))
            await ledger.checkpoint()
            yield ledger
    finally:
        await opened.file.aclose()


async def record_containment(
    ledger: NightLedger, store: EventLog, record: NightRecord, contained: Contained
) -> None:
    """Enter how this process of a night is kept on this machine, and note it in the store for the report.

    Args:
        ledger: the night's; it says the same again behind each later delegation.
        store: where the event goes.
        record: the night.
        contained: what was proven by the process that runs the night, and when.

    Raises:
        SignatureError, ArtifactError: as ``NightLedger.state``.
        StoreError: the event cannot be written.
    """
    subjects = {"base": {"gitCommit": record.base_commit}}
    entry = await ledger.state_standing(
        CONTAINMENT_PREDICATE, subjects, contained_predicate(contained, record.id)
    )
    noted = {"record": entry.seq, **in_force(contained)}
    await store.add_event(record.id, record.id, CONTAINED_EVENT, noted)


def _recovery(
    record: NightRecord, index: LedgerIndex, opened: OpenedLedger, lost: Checkpoint | None
) -> tuple[str, dict[str, str], dict[str, object]]:
    return (
        RECOVERY_PREDICATE,
        {"cut": digest_bytes(opened.cut)},
        {
            "night": record.id,
            "keptRecords": index.size - 1,
            "cutBytes": opened.cut_bytes,
            "lostRecords": 0 if lost is None else lost.size,
        },
    )


def _last_checkpoint(
    index: LedgerIndex, origin: str, opened: OpenedLedger, notes: Sequence[bytes]
) -> Checkpoint | None:
    """Return the largest checkpoint of this ledger.

    Raises:
        SignatureError: the ledger does not hold what a checkpoint of it says.
    """
    keys = [key for one in index.delegations if (key := one.key(NIGHT_ROLE)) is not None]
    own = [(note, "the witness remembers") for note in notes if _names(note, origin)]
    if opened.checkpoint is not None:
        own.append((opened.checkpoint, "its checkpoint is of"))
    last = None
    if not index.size:
        return None
    for note, who in own:
        point = parse_checkpoint(note_text(note))
        if point.origin != origin:
            raise SignatureError(f"the checkpoint beside the ledger is of {point.origin}, not of {origin}")
        if point.size > index.size:
            raise SignatureError(
                f"the night's ledger has {index.size} records, but {who} {point.size}: it was cut or set back",
                hint="Restore the night's artifacts, or move them away; pantheon verify tells more.",
            )
        open_note(note, keys)
        if index.tree.root(point.size).hex() != point.root:
            raise SignatureError(
                "the night's ledger was altered: its records do not have the root of its checkpoint",
                hint="pantheon verify tells which.",
            )
        if last is None or point.size >= last.size:
            last = point
    return last


def _lost(index: LedgerIndex, origin: str, opened: OpenedLedger, notes: Sequence[bytes]) -> Checkpoint | None:
    """Return the largest checkpoint of a ledger that is gone altogether; None when none is.

    Such a night goes on, for its work is in the store and on the branch. What it has lost is bound by its first
    record, so that whoever verifies it is told; and no change lands any more whose verdicts are gone.
    """
    if index.size:
        return None
    beside = () if opened.checkpoint is None else (opened.checkpoint,)
    own = [parse_checkpoint(note_text(note)) for note in (*notes, *beside) if _names(note, origin)]
    return max(own, key=lambda point: point.size, default=None)


def _previous_night(origin: str, notes: Sequence[bytes]) -> Checkpoint | None:
    """Return the last checkpoint of another night; what is none is passed over."""
    for note in reversed(notes):
        with suppress(VerificationError):
            point = parse_checkpoint(note_text(note))
            if point.origin != origin:
                return point
    return None


def _names(note: bytes, origin: str) -> bool:
    try:
        return parse_checkpoint(note_text(note)).origin == origin
    except VerificationError:
        return False


@asynccontextmanager
async def written(ledger: NightLedger) -> AsyncIterator[NightLedger]:
    """Have a ledger written for the length of a ``with``; on the way out everything entered is, and a checkpoint.

    Cancellation:
        The same: what was entered up to then is written first.
    """
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(ledger.run(), name="ledger")
        try:
            yield ledger
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 (raised again below, as itself)
            failure = error
        finally:
            ledger.stop()
        cancelled = await outlast(writing)
    if failure is not None:
        raise failure
    if cancelled:
        raise asyncio.CancelledError
