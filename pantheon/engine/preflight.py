"""What a night verifies before it starts: signed batches that are unaltered, and pins that have not drifted."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from pydantic import ValidationError

from pantheon.core.batch import BatchClaim, Pins, read_claim
from pantheon.core.canonical import digest_bytes
from pantheon.core.carry_over import accepted_of, choose_takeable, leave_to_next_window
from pantheon.core.dsse import key_id, open_envelope, parse_envelope
from pantheon.core.errors import PreflightError, SignatureError, StoreError
from pantheon.core.records import NightRecord, NightState, TaskRecord
from pantheon.core.statement import parse_statement
from pantheon.engine.enqueue import register_batch
from pantheon.engine.open_nights import choose_open
from pantheon.engine.services import Services
from pantheon.ports.queue import QueueFolder
from pantheon.ports.store import Store


@dataclass(frozen=True)
class QueueProblem:
    """Why one batch must not be worked."""

    batch: str
    why: str


async def verify_queue(
    queue: QueueFolder, trusted: Sequence[bytes]
) -> tuple[tuple[BatchClaim, ...], tuple[QueueProblem, ...]]:
    """Verify signature, digest and count of every batch; returns the sound ones and what is wrong with others.

    Args:
        queue: the folder.
        trusted: public keys that may sign batches.
    """
    return await asyncio.to_thread(_verify_all, queue, trusted)


def refuse_problems(problems: Sequence[QueueProblem]) -> None:
    """Raise ``PreflightError`` naming every altered batch, and how to mend it or to go on without it."""
    if problems:
        named = "\n".join(f"  queue/{problem.batch}: {problem.why}" for problem in problems)
        first = problems[0].batch.removesuffix(".jsonl")
        raise PreflightError(
            f"the queue was altered after it was signed:\n{named}",
            hint="Put the files back as they were, or move them away and enqueue the same lines again. To go on "
            f"without such a batch: pantheon hold --batch {first} --reason TEXT (release takes it back); or, where the "
            "store does not know it: mkdir -p queue/aside && mv queue/" + first + ".* queue/aside/",
            batches=[problem.batch for problem in problems],
        )


async def sort_problems(
    problems: Sequence[QueueProblem], store: Store
) -> tuple[tuple[QueueProblem, ...], tuple[QueueProblem, ...]]:
    """Tell altered batches that stand in the way of a night from those that it would not touch.

    Args:
        problems: what is wrong with batches.
        store: says which batches wait, or are in the night that is open.

    Returns:
        Those that must be mended first: they wait, an open night has them, or nobody knows what they are. And the
        others: all their tasks are done, or an operator holds them, so nothing of them would be worked.
    """
    under_way = [one for one in await store.nights() if one.state is NightState.RUNNING]
    known = {batch.name for batch in await store.batches()}
    concerned = {task.batch for task in await store.tasks(pending=True)}
    for night in under_way:
        concerned |= {task.batch for task in await store.tasks(night=night.id)}
    idle = {problem for problem in problems if problem.batch in known - concerned}
    return tuple(one for one in problems if one not in idle), tuple(one for one in problems if one in idle)


def refuse_drift(claims: Sequence[BatchClaim], now: Pins, *, accepted_because: str) -> tuple[str, ...]:
    """Return what drifted since each batch was frozen, as sentences.

    Args:
        claims: the batches that are about to be worked.
        now: what is in force.
        accepted_because: the operator's reason to go on all the same; empty refuses.

    Raises:
        PreflightError: something drifted and no reason was given.
    """
    drifted = tuple(f"{claim.name}: {change}" for claim in claims for change in claim.pins.drift(now))
    if drifted and not accepted_because:
        named = "\n".join(f"  {line}" for line in drifted)
        raise PreflightError(
            f"what batches were frozen with has changed since:\n{named}",
            hint="Enqueue them again, or say why it is fine: pantheon night --accept-drift REASON",
            drift=list(drifted),
        )
    return drifted


def _verify_all(
    queue: QueueFolder, trusted: Sequence[bytes]
) -> tuple[tuple[BatchClaim, ...], tuple[QueueProblem, ...]]:
    sound, problems = [], []
    for name in queue.names():
        try:
            sound.append(_verify_batch(queue, name, trusted))
        except (SignatureError, StoreError, ValueError, ValidationError) as error:
            problems.append(QueueProblem(name, str(error).split("\n")[0]))
    return tuple(sound), tuple(problems)


def _verify_batch(queue: QueueFolder, name: str, trusted: Sequence[bytes]) -> BatchClaim:
    envelope = parse_envelope(queue.read_envelope(name))
    try:
        claim = read_claim(parse_statement(open_envelope(envelope, trusted)))
    except SignatureError as error:
        claimed, own = envelope.signatures[0].keyid, [key_id(key) for key in trusted]
        if claimed in own:
            raise
        raise SignatureError(f"signed by the key {claimed}; the night's is {' or '.join(own)}") from error
    if claim.name != name:
        raise ValueError(f"the attestation is of batch {claim.name}")
    if not queue.has(name):
        raise ValueError("the lines are missing")
    if queue.lines_digest(name) != claim.digest:
        raise ValueError("the lines are not the ones that were signed")
    return claim


def _claims_of(
    taken: Sequence[TaskRecord], claims: Sequence[BatchClaim], tasks: Sequence[TaskRecord]
) -> tuple[BatchClaim, ...]:
    """Return the claims of the batches that ``taken`` tasks come from.

    Raises:
        PreflightError: a batch's files are gone, or the store holds other lines than were signed.
    """
    known = {claim.name: claim for claim in claims}
    lines: dict[str, list[str]] = {}
    for task in tasks:
        lines.setdefault(task.batch, []).append(task.line)
    problems = []
    for name in sorted({task.batch for task in taken}):
        stored = "".join(f"{line}\n" for line in lines[name]).encode()
        if name not in known:
            problems.append(QueueProblem(f"{name}.jsonl", "its files are gone"))
        elif digest_bytes(stored) != known[name].digest:
            problems.append(QueueProblem(name, "the store holds other lines than were signed"))
    refuse_problems(problems)
    return tuple(known[name] for name in sorted({task.batch for task in taken}))


async def _refuse_branch_in_the_way(services: Services, branch_prefix: str) -> None:
    """Refuse a branch whose name is a folder of the night's branch: git could not make that one."""
    folders = branch_prefix.split("/")[:-1]
    for depth in range(1, len(folders) + 1):
        name = "/".join(folders[:depth])
        if await services.repository.branch(name) is not None:
            raise PreflightError(
                f"the branch {name!r} is in the way of {branch_prefix}<night>",
                hint="Rename it, or set night.branch_prefix in pantheon.toml.",
            )


@dataclass(frozen=True)
class NightPlan:
    """The night that is about to run."""

    record: NightRecord
    tasks: tuple[str, ...]
    """Keys of the tasks it takes; empty for a night that is resumed, which has its own."""
    resumed: bool
    left_aside: tuple[QueueProblem, ...] = ()
    """Altered batches that this night does not touch."""
    drift: tuple[str, ...] = ()
    """What has changed since batches were frozen, accepted by the operator."""


def night_id(began: datetime, known: Collection[str]) -> str:
    """Return the id of a night that begins now: the time in UTC, numbered when another began in the same second."""
    stamp = began.strftime("%Y%m%d-%H%M%S")
    numbered = (stamp if number == 1 else f"{stamp}-{number}" for number in count(1))
    return next(name for name in numbered if name not in known)


async def prepare_night(
    services: Services,
    queue: QueueFolder,
    pins: Pins,
    *,
    branch_prefix: str,
    accepted_because: str,
    merges_open: bool = True,
    land_only: bool = False,
    left_before: datetime | None = None,
) -> NightPlan | None:
    """Verify the queue and decide which night runs: an open one is resumed, else a new one takes what is pending.

    An open night that only waits for the merge window is left waiting until it opens.

    Args:
        services: ports and content.
        queue: the queue's folder.
        pins: what is in force now.
        branch_prefix: what the night's branch begins with.
        accepted_because: the operator's reason to accept drift; empty refuses it.
        merges_open: whether the merge window is open.
        land_only: whether no new night may begin.
        left_before: of what closed nights have not reached, a new one takes only what those have left that began before
            this; None for all of it.

    Returns:
        The night, or None when there is nothing to do.

    Raises:
        PreflightError: a batch that waits was altered, or what it was frozen with has changed.
        GitError: the repository has no commit.
    """
    claims, problems = await verify_queue(queue, [services.signer.public_key])
    blocking, left_aside = await sort_problems(problems, services.store)
    refuse_problems(blocking)
    for claim in claims:
        await register_batch(claim, queue=queue, store=services.store)
    nights = await services.store.nights()
    resumed = await choose_open(services.store, nights, merges_open=merges_open)
    if resumed is None and land_only:
        return None
    taken = await (
        services.store.tasks(pending=True) if resumed is None else services.store.tasks(night=resumed.id)
    )
    if resumed is None and not taken:
        return None
    whole = await services.store.tasks()
    own = _claims_of(taken, claims, whole)
    if resumed is None:
        # What needs a task that is held, or that waits for the next window, waits with it.
        taken = leave_to_next_window(taken, nights, left_before)
        taken = await asyncio.to_thread(choose_takeable, taken, accepted_of(whole))
        own = tuple(claim for claim in own if claim.name in {task.batch for task in taken})
        if not taken:
            return None
    drift = refuse_drift(own, pins, accepted_because=accepted_because)
    if resumed is not None:
        return NightPlan(record=resumed, tasks=(), resumed=True, drift=drift, left_aside=left_aside)
    await _refuse_branch_in_the_way(services, branch_prefix)
    now = services.clock.now()
    night = night_id(now, {one.id for one in nights})
    record = NightRecord(
        id=night,
        base_commit=await services.repository.resolve("HEAD"),
        branch=f"{branch_prefix}{night}",
        started_at=now,
    )
    keys = tuple(task.key for task in taken)
    return NightPlan(record=record, tasks=keys, resumed=False, drift=drift, left_aside=left_aside)
