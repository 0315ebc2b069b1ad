"""Freeze a task file into a signed batch. All or nothing: one problem, and nothing is written.

The file is streamed: what stays in memory are ids, needs and problems; the canonical lines go to a draft as
they validate.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pantheon.core.batch import BatchClaim, Pins, batch_name, batch_statement
from pantheon.core.dsse import PAYLOAD_TYPE, pae, seal
from pantheon.core.errors import FlowError, QueueError
from pantheon.core.records import BatchRecord, TaskRecord
from pantheon.core.strict_json import parse_json
from pantheon.core.task import Task
from pantheon.core.taskfile import TaskFileReader
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
    dry_run: bool
    base_commit: str
    pins: Pins
    version: str
    route: Callable[[Task], str]
    """Name of a task's flow; raises ``FlowError`` when there is none."""
    target_problem: Callable[[str], str | None]
    """Why a target must not be touched (a link that leads elsewhere), None when it may."""


@dataclass(frozen=True)
class EnqueueResult:
    """What became of it."""

    batch: str
    digest: str
    tasks: int
    flows: Mapping[str, int]
    """Flow -> number of tasks."""
    kinds: Mapping[str, int]
    packages: Mapping[str, int]
    created: bool
    """False when the same content was there already, or nothing was to be written."""


@dataclass
class _Counts:
    flows: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    packages: Counter[str] = field(default_factory=Counter)


async def run_enqueue(
    request: EnqueueRequest, *, queue: QueueFolder, store: Store, signer: Signer, clock: Clock
) -> EnqueueResult:
    """Validate, freeze, sign and register a task file.

    Raises:
        QueueError: the file has problems; all of them are listed and nothing was written.
        StoreError: the queue or the store cannot be written.

    Cancellation:
        Nothing is kept before everything is valid; a batch that was kept but not registered is registered by
        repeating the call.
    """
    draft = await asyncio.to_thread(queue.open_draft)
    try:
        counts = await asyncio.to_thread(_freeze, request, draft)
        name = batch_name(draft.digest, request.label)
        known = await asyncio.to_thread(queue.has, name)
        claim = BatchClaim(
            digest=draft.digest,
            lines=draft.lines,
            label=request.label,
            enqueued_at=clock.now().isoformat(),
            base_commit=request.base_commit,
            pins=request.pins,
            version=request.version,
        )
        if not request.dry_run:
            if not known:
                statement = batch_statement(claim)
                signature = await signer.sign(pae(PAYLOAD_TYPE, statement))
                envelope = seal(statement, [(signer.key_id, signature)]).to_bytes()
                await asyncio.to_thread(queue.keep, draft, name, envelope + b"\n")
            await register_batch(claim, queue=queue, store=store, clock=clock)
    finally:
        await asyncio.to_thread(draft.discard)
    return EnqueueResult(
        batch=name,
        digest=claim.digest,
        tasks=claim.lines,
        flows=dict(counts.flows),
        kinds=dict(counts.kinds),
        packages=dict(counts.packages),
        created=not known and not request.dry_run,
    )


async def register_batch(claim: BatchClaim, *, queue: QueueFolder, store: Store, clock: Clock) -> bool:
    """Make the store know a kept batch; False when it did already."""
    record = BatchRecord(
        digest=claim.digest,
        name=claim.name,
        label=claim.label,
        lines=claim.lines,
        enqueued_at=clock.now(),
        path=f"{claim.name}.jsonl",
    )
    records = await asyncio.to_thread(lambda: tuple(_task_records(claim.name, queue.read_lines(claim.name))))
    return await store.add_batch(record, records)


def _freeze(request: EnqueueRequest, draft: BatchDraft) -> _Counts:
    reader = TaskFileReader(request.name)
    counts = _Counts()
    for line in request.lines:
        if line is None:
            reader.skip_long()
            continue
        task = reader.feed(line)
        if task is None:
            continue
        try:
            counts.flows[request.route(task)] += 1
        except FlowError as error:
            reader.refuse("flow" if task.flow is not None else "kind", error.message)
        for place, target in enumerate(task.targets):
            if (problem := request.target_problem(target)) is not None:
                reader.refuse(f"targets.{place}", problem)
        counts.kinds[task.kind or ""] += 1
        counts.packages[task.package] += 1
        draft.add(task.canonical_line())
    problems = reader.finish()
    if problems:
        raise QueueError(
            f"{request.name}: {reader.problem_count} problem{'s' if reader.problem_count != 1 else ''}; "
            "nothing was enqueued",
            problems,
        )
    return counts


def _task_records(batch: str, lines: Iterator[bytes]) -> Iterator[TaskRecord]:
    for line in lines:
        value = parse_json(line)
        yield TaskRecord(
            key=f"{batch}/{value['id']}", batch=batch, line=line.decode(), package=value["package"]
        )
