"""Freeze a task file into a signed batch. All or nothing: one problem, and nothing is written.

The file is streamed: what stays in memory are ids, needs and problems; the canonical lines go to a draft as
they validate. The order lines, envelope, store makes every kill repairable by repeating the call.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from threading import Event

from pantheon.core.batch import BatchClaim, Pins, batch_statement, read_claim
from pantheon.core.dsse import PAYLOAD_TYPE, open_envelope, pae, parse_envelope, seal
from pantheon.core.errors import FlowError, QueueError, SignatureError
from pantheon.core.records import BatchRecord, TaskRecord
from pantheon.core.statement import parse_statement
from pantheon.core.strict_json import parse_json
from pantheon.core.task import Task
from pantheon.core.taskfile import TaskFileReader
from pantheon.engine.to_end import to_end
from pantheon.ports.clock import Clock
from pantheon.ports.queue import BatchDraft, QueueFolder
from pantheon.ports.signer import Signer
from pantheon.ports.store import Store


@dataclass(frozen=True)
class EnqueueRequest:
    """What to enqueue, and under which circumstances."""

    name: str
    """The file's name, for messages."""
    lines: Iterable[bytes | None]
    """The file's lines; None for one that was too long to hold."""
    label: str
    base_commit: str
    pins: Pins
    version: str
    route: Callable[[Task], str]
    """Name of a task's flow; raises ``FlowError`` when there is none."""
    target_problem: Callable[[str], str | None]
    """Why a target must not be touched (a link that leads elsewhere), None when it may."""
    stop: Event = field(default_factory=Event)
    """Set when the call is cancelled; whoever gives the lines ends them then."""


@dataclass(frozen=True)
class EnqueueServices:
    """What a valid task file needs to become a batch."""

    store: Store
    signer: Signer


class EnqueueOutcome(StrEnum):
    """What became of a task file."""

    CREATED = "created"
    COMPLETED = "completed"
    """An enqueue that was interrupted is finished now."""
    RENEWED = "renewed"
    """The lines were there; they are signed again with what is in force now."""
    UNCHANGED = "unchanged"
    PREVIEWED = "previewed"
    """Nothing was written."""


@dataclass(frozen=True)
class Preview:
    """What a valid task file asks for."""

    flows: Mapping[str, int]
    """Flow -> number of tasks."""
    kinds: Mapping[str, int]
    packages: Mapping[str, int]
    levels: tuple[int, ...]
    """Number of tasks on each level of the needs between tasks."""


@dataclass(frozen=True)
class EnqueueResult:
    """What became of it."""

    batch: str
    digest: str
    tasks: int
    path: str
    """The frozen lines, relative to the repository."""
    outcome: EnqueueOutcome
    drift: tuple[str, ...]
    """For a renewed batch: what has changed since it was signed."""
    preview: Preview


async def run_enqueue(
    request: EnqueueRequest,
    *,
    queue: QueueFolder,
    open_services: Callable[[], AbstractAsyncContextManager[EnqueueServices]],
    clock: Clock,
) -> EnqueueResult:
    """Validate, freeze, sign and register a task file.

    Args:
        request: the file and its circumstances.
        queue: where batches are.
        open_services: opened once the whole file is valid, so that a wrong file makes neither key nor database.
        clock: the time that is signed.

    Raises:
        QueueError: the file has problems; all of them are listed and nothing was written.
        SignatureError: lines of that name are in place, and they are not these.
        StoreError: the queue or the store cannot be written.

    Cancellation:
        Nothing is kept before everything is valid; a batch that was kept but not registered is registered by
        repeating the call.
    """
    draft, cancelled = await to_end(asyncio.to_thread(queue.open_draft))
    try:
        _go_on_unless(cancelled)
        preview = await _freeze(request, draft)
        claim = _claim(request, draft, clock.now().isoformat())
        async with open_services() as services:
            signer = services.signer
            outcome, kept, drift = await asyncio.to_thread(_compare, queue, claim, signer.public_key)
            if outcome is not EnqueueOutcome.UNCHANGED:
                statement = batch_statement(claim)
                signature = await signer.sign(pae(PAYLOAD_TYPE, statement))
                envelope = seal(statement, [(signer.key_id, signature)]).to_bytes() + b"\n"
                keep = partial(queue.put_envelope, claim.name, envelope)
                if outcome is EnqueueOutcome.CREATED:
                    keep = partial(queue.keep, draft, claim.name, envelope)
                _, cancelled = await to_end(asyncio.to_thread(keep))
                _go_on_unless(cancelled)
            added = await register_batch(kept, queue=queue, store=services.store)
            if added and outcome is EnqueueOutcome.UNCHANGED:
                outcome = EnqueueOutcome.COMPLETED
    finally:
        _, cancelled = await to_end(asyncio.to_thread(draft.discard))
    _go_on_unless(cancelled)
    return _result(claim, queue, outcome, preview, drift)


def _go_on_unless(cancelled: bool) -> None:
    if cancelled:
        raise asyncio.CancelledError


async def preview_enqueue(request: EnqueueRequest, *, queue: QueueFolder) -> EnqueueResult:
    """Validate a task file and tell what enqueueing it would do. Writes nothing. Raises ``QueueError``."""
    draft = _NoDraft()
    preview = await _freeze(request, draft)
    claim = _claim(request, draft, "")
    return _result(claim, queue, EnqueueOutcome.PREVIEWED, preview, ())


async def register_batch(claim: BatchClaim, *, queue: QueueFolder, store: Store) -> bool:
    """Make the store know a kept batch; False when it did already."""
    record = BatchRecord(
        digest=claim.digest,
        name=claim.name,
        label=claim.label,
        lines=claim.lines,
        enqueued_at=datetime.fromisoformat(claim.enqueued_at),
        path=queue.lines_path(claim.name),
    )
    records = await asyncio.to_thread(lambda: tuple(_task_records(claim.name, queue.read_lines(claim.name))))
    return await store.add_batch(record, records)


async def _freeze(request: EnqueueRequest, draft: BatchDraft) -> Preview:
    try:
        return await asyncio.to_thread(_freeze_lines, request, draft)
    finally:
        # The thread outlives a cancelled call until it looks up from its work.
        request.stop.set()


def _freeze_lines(request: EnqueueRequest, draft: BatchDraft) -> Preview:
    flows: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    packages: Counter[str] = Counter()

    def object_to(task: Task) -> Iterator[tuple[str, str]]:
        try:
            flows[request.route(task)] += 1
        except FlowError as error:
            yield "flow" if task.flow is not None else "kind", error.message
        for place, target in enumerate(task.targets):
            if (problem := request.target_problem(target)) is not None:
                yield f"targets.{place}", problem

    reader = TaskFileReader(request.name, object_to)
    for line in request.lines:
        if request.stop.is_set():
            break
        if line is None:
            reader.skip_long()
        elif (task := reader.feed(line)) is not None:
            kinds[task.kind or ""] += 1
            packages[task.package] += 1
            if not reader.problem_count:
                draft.add(task.canonical_line())
    problems = reader.finish()
    if problems:
        number = reader.problem_count
        raise QueueError(
            f"{request.name}: {number} problem{'' if number == 1 else 's'}; nothing was enqueued", problems
        )
    return Preview(flows=flows, kinds=kinds, packages=packages, levels=reader.levels)


def _claim(request: EnqueueRequest, draft: BatchDraft, enqueued_at: str) -> BatchClaim:
    return BatchClaim(
        digest=draft.digest,
        count=draft.lines,
        label=request.label,
        enqueuedAt=enqueued_at,
        baseCommit=request.base_commit,
        pins=request.pins,
        version=request.version,
    )


def _compare(
    queue: QueueFolder, claim: BatchClaim, public_key: bytes
) -> tuple[EnqueueOutcome, BatchClaim, tuple[str, ...]]:
    """Return what is to be done, the claim that will hold, and what has drifted since the one that held."""
    found = queue.lines_digest(claim.name)
    if found is None:
        return EnqueueOutcome.CREATED, claim, ()
    if found != claim.digest:
        raise SignatureError(
            f"{queue.lines_path(claim.name)} was altered after it was frozen",
            hint="Move it away and enqueue again; what it held is in the file that was enqueued.",
        )
    if not queue.has(claim.name):
        return EnqueueOutcome.COMPLETED, claim, ()
    try:
        envelope = parse_envelope(queue.read_envelope(claim.name))
        kept = read_claim(parse_statement(open_envelope(envelope, [public_key])))
    except (SignatureError, ValueError) as error:
        return EnqueueOutcome.RENEWED, claim, (f"the attestation did not hold: {str(error).splitlines()[0]}",)
    if kept.name != claim.name:
        return EnqueueOutcome.RENEWED, claim, (f"the attestation was that of batch {kept.name}",)
    drift = kept.pins.drift(claim.pins)
    return (EnqueueOutcome.RENEWED, claim, drift) if drift else (EnqueueOutcome.UNCHANGED, kept, ())


def _result(
    claim: BatchClaim,
    queue: QueueFolder,
    outcome: EnqueueOutcome,
    preview: Preview,
    drift: tuple[str, ...],
) -> EnqueueResult:
    return EnqueueResult(
        batch=claim.name,
        digest=claim.digest,
        tasks=claim.lines,
        path=queue.lines_path(claim.name),
        outcome=outcome,
        drift=drift,
        preview=preview,
    )


def _task_records(batch: str, lines: Iterator[bytes]) -> Iterator[TaskRecord]:
    for line in lines:
        value = parse_json(line)
        yield TaskRecord(
            key=f"{batch}/{value['id']}", batch=batch, line=line.decode(), package=value["package"]
        )


class _NoDraft:
    """A draft that only counts."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.lines = 0

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def add(self, line: bytes) -> None:
        self._hash.update(line + b"\n")
        self.lines += 1

    def discard(self) -> None:
        self._hash = hashlib.sha256()
