"""One attempt of one node: claim, execute, leave evidence, settle; and whether there is another.

Whatever happens, an attempt that was claimed is settled with its lease's token or, when the process dies, found
by recovery and interrupted.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from pantheon.core.budget import Usage
from pantheon.core.canonical import digest_bytes
from pantheon.core.dag import PlannedNode
from pantheon.core.errors import LeaseLostError, MergeConflictError, PantheonError
from pantheon.core.records import AttemptOutcome, AttemptResult, Conclusion, Lease, NodeState
from pantheon.core.retry import FailureKind, Retry, Stop, decide_after_loss, decide_retry
from pantheon.engine.attempt_record import AttemptRecorder, Attest, attest_attempt
from pantheon.engine.evidence import Evidence
from pantheon.engine.lease_keeper import LeaseKeeper
from pantheon.engine.results import NodeResult
from pantheon.engine.services import NightContext, NodeContext, Services
from pantheon.engine.to_end import take_back_cancellation, to_end

OWN_TIMEOUT_S = 30.0
"""Added to a node's time-out for what surrounds the work: work tree, artifacts, signature."""

Execute = Callable[[NodeContext, Evidence], Awaitable[NodeResult]]
Prepare = Callable[[int], Awaitable[NodeContext]]
"""Gathers what the attempt of this number starts from; may fail like the work itself."""


@dataclass(frozen=True, slots=True)
class Try:
    """The attempt that is to be made."""

    night: NightContext
    planned: PlannedNode
    prepare: Prepare
    tried: int
    """Attempts of the node that failed before this one."""
    lost: int
    """Attempts of the node under which the model server broke before this one."""
    done: Callable[[NodeResult], Conclusion | None]
    """Told what the work came to once only its record is left; says what becomes of the task for it."""
    cut: Callable[[Usage], None]
    """Told what the work has used when it is cut by a cancellation, after which ``done`` is told nothing."""
    cancelled: Callable[[], str]
    """Why the operator has cancelled the task; empty when nobody has."""


@dataclass(frozen=True)
class AttemptRunner:
    """Runs attempts of nodes.

    Args:
        services: ports and content.
        execute: what a node does.
        leases: renews the attempt's lease while it runs.
        attest: signs what the attempt left.
    """

    services: Services
    execute: Execute
    leases: LeaseKeeper
    attest: Attest = attest_attempt

    async def run(self, attempt: Try) -> NodeResult:
        """Run one attempt and settle it.

        Raises:
            LeaseLostError: another owner has the node; this attempt's result is dropped.
            StoreError, ArtifactError: infrastructure; the attempt stays to be interrupted by recovery.

        Cancellation:
            The attempt is settled before the cancellation goes on: as cancelled, or as what it had come to.
        """
        try:
            record = await self._claim(attempt)
        except asyncio.CancelledError:
            await to_end(self._give_up_claim(attempt))
            raise
        with self.leases.hold(record.lease) as held:
            try:
                result = await self._work(attempt, record)
            except asyncio.CancelledError:
                if held.lost is not None:
                    take_back_cancellation()
                    raise held.lost from None
                await to_end(record.settle(_stopped(attempt), self.attest))
                raise
            conclusion = attempt.done(result)
            try:
                await record.settle(result, self.attest, conclusion)
            except asyncio.CancelledError:
                # Each step of it may be done twice, so what was cut is begun again and done to the end.
                await to_end(record.settle(result, self.attest, conclusion))
                if held.lost is None and not attempt.cancelled():
                    raise
                # Ordered, or the lease taken for lost, when the work was done already: what is recorded stands.
                take_back_cancellation()
        return result

    async def _claim(self, attempt: Try) -> AttemptRecorder:
        night, planned = attempt.night, attempt.planned
        lease = await self.services.store.claim(
            night.id, planned.key, owner=night.owner, lease_s=night.lease_s
        )
        sink = await self.services.artifacts.open_attempt(
            night.id, planned.task, planned.node.id, lease.attempt
        )
        return AttemptRecorder(self.services, planned.task, planned, lease, Evidence(sink))

    async def _give_up_claim(self, attempt: Try) -> None:
        """Settle a claim that was cut by a cancellation, if it came through: nothing was done under it."""
        night, key, store = attempt.night, attempt.planned.key, self.services.store
        # Behind this write there is no doubt whether the claim before it was carried out.
        await store.add_event(night.id, key, "node.claim_given_up")
        result = _stopped(attempt)
        for record in await store.attempts(night.id):
            if record.node == key and record.result is None and record.owner == night.owner:
                lease = Lease(
                    night=night.id, node=key, attempt=record.attempt, token=record.token, owner=record.owner,
                    expires_at=record.started_at,
                )  # fmt: skip
                await store.settle(
                    lease, AttemptResult(outcome=result.outcome, node_state=result.state, cause=result.cause)
                )

    async def _work(self, attempt: Try, record: AttemptRecorder) -> NodeResult:
        """Do the work and decide what follows it."""
        began_s = self.services.clock.monotonic()

        def used() -> Usage:
            return record.evidence.tally.usage(self.services.clock.monotonic() - began_s)

        try:
            result = await self._execute(attempt, record)
        except asyncio.CancelledError:
            attempt.cut(used())
            raise
        result = replace(result, used=used())
        if result.state is not NodeState.FAILED:
            return result
        if result.kind is FailureKind.SERVER:
            return _go_back(attempt, result)
        number = attempt.tried + 1
        follow = _follow(attempt.planned, result, number)
        if isinstance(follow, Retry):
            return replace(result, state=NodeState.READY, retry=follow)
        if number > 1:
            return replace(result, cause=f"{result.cause} (quarantined after {number} attempts)")
        return result

    async def _execute(self, attempt: Try, record: AttemptRecorder) -> NodeResult:
        """Execute under a deadline; errors of the work become results."""
        evidence, timeout_s = record.evidence, attempt.planned.node.timeout_s + OWN_TIMEOUT_S
        try:
            async with asyncio.timeout(timeout_s):
                context = await record.begin(await attempt.prepare(record.lease.attempt))
                return await self.execute(context, evidence)
        except TimeoutError:
            cause = f"did not finish within {timeout_s:.0f} s"
            await evidence.log_error(cause)
            return NodeResult(AttemptOutcome.TIMED_OUT, NodeState.FAILED, cause, kind=FailureKind.TRANSIENT)
        except LeaseLostError:
            raise
        except PantheonError as error:
            await evidence.log_error(f"{error.code}: {error.message}")
            conflict = isinstance(error, MergeConflictError)
            if conflict:
                told = {"reason": error.message, **error.details}
                await evidence.put_json("conflict.json", lambda: told)
            outcome = AttemptOutcome.FAILED if conflict else AttemptOutcome.CRASHED
            kind = FailureKind.NEVER if conflict else FailureKind.INFRASTRUCTURE
            return NodeResult(outcome, NodeState.FAILED, error.message, kind=kind)
        except Exception as error:  # noqa: BLE001 (a bug in one node must not end the night; it is named)
            cause = f"unexpected {type(error).__name__}: {error}"[:500]
            await evidence.log_error("".join(traceback.format_exception(error))[-4_000:])
            return NodeResult(AttemptOutcome.CRASHED, NodeState.FAILED, cause)


def _stopped(attempt: Try) -> NodeResult:
    """Return the result of an attempt that was cancelled."""
    cause = attempt.cancelled()
    # An interrupted night has decided nothing: the node is ready for the next process.
    state = NodeState.CANCELLED if cause else NodeState.READY
    return NodeResult(AttemptOutcome.CANCELLED, state, cause or "cancelled")


def _follow(planned: PlannedNode, result: NodeResult, number: int) -> Retry | Stop:
    """Decide what follows a failure; the jitter is the node's own, so that it can be repeated."""
    fraction = _fraction(f"{planned.key}/{number}")
    return decide_retry(result.outcome, result.kind, number, planned.node.retries + 1, fraction)


def _go_back(attempt: Try, result: NodeResult) -> NodeResult:
    """Return what becomes of a node under which the model server broke: nothing, or the day looks at it."""
    losses = attempt.lost + 1
    follow = decide_after_loss(losses, _fraction(f"{attempt.planned.key}/lost {losses}"))
    if isinstance(follow, Retry):
        return replace(result, state=NodeState.READY, retry=follow)
    return replace(result, state=NodeState.CANCELLED, cause=f"{follow.cause}: {result.cause}")


def _fraction(text: str) -> float:
    return int(digest_bytes(text.encode())[:8], 16) / 2**32
