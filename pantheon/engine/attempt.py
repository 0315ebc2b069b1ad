"""One attempt of one node: claim, execute, leave evidence, settle; and whether there is another.

Whatever happens, an attempt that was claimed is settled with its lease's token or, when the process dies, found
by recovery and interrupted. Artifacts are sealed and attested before the store is told how it ended.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pantheon.core.canonical import digest_bytes
from pantheon.core.dsse import PAYLOAD_TYPE, pae, seal
from pantheon.core.errors import LeaseLostError, MergeConflictError, PantheonError
from pantheon.core.records import AttemptOutcome, AttemptResult, Lease, NodeState
from pantheon.core.retry import FailureKind, Retry, decide_retry
from pantheon.core.statement import ATTEMPT_PREDICATE, make_statement
from pantheon.engine.evidence import Evidence
from pantheon.engine.services import NodeContext, Services


@dataclass(frozen=True)
class NodeResult:
    """What executing a node came to."""

    outcome: AttemptOutcome
    state: NodeState
    """Succeeded, failed, or skipped when there was nothing to do."""
    cause: str = ""
    commit: str | None = None
    """The node's output commit."""
    output: Mapping[str, Any] | None = None
    ended: str = ""
    """For agents: the loop's outcome."""
    agent: str | None = None
    """``name@version`` of the agent."""
    completion_tokens: int = 0
    """Output tokens it cost; filled in by the runner."""
    kind: FailureKind = FailureKind.NEVER
    """For failures: how far another attempt can help."""
    retry: Retry | None = None
    """The attempt that follows; filled in by the runner."""


Execute = Callable[[NodeContext, Evidence], Awaitable[NodeResult]]


def succeeded(commit: str, output: Mapping[str, Any] | None = None, **more: Any) -> NodeResult:
    """Return a success."""
    return NodeResult(
        outcome=AttemptOutcome.SUCCEEDED, state=NodeState.SUCCEEDED, commit=commit, output=output, **more
    )


def failed(cause: str, output: Mapping[str, Any] | None = None, **more: Any) -> NodeResult:
    """Return a failure of the work."""
    return NodeResult(
        outcome=AttemptOutcome.FAILED, state=NodeState.FAILED, cause=cause, output=output, **more
    )


@dataclass(frozen=True)
class AttemptRunner:
    """Runs attempts of nodes.

    Args:
        services: ports and content.
        execute: what a node does.
    """

    services: Services
    execute: Execute

    async def run(
        self, node_key: str, context: NodeContext, *, timeout_s: float, tried: int, limit: int
    ) -> NodeResult:
        """Run one attempt and settle it.

        Args:
            node_key: key of the node in the store; it must be ready.
            context: the attempt's circumstances; its ``attempt`` is replaced by the claimed number.
            timeout_s: seconds until the attempt is ended as timed out.
            tried: number of this attempt among those of this process, from 1.
            limit: attempts that this process may make.

        Raises:
            LeaseLostError: another owner has the node; this attempt's result is dropped.
            StoreError, ArtifactError: infrastructure; the attempt stays to be interrupted by recovery.

        Cancellation:
            The attempt is settled as cancelled before the cancellation goes on.
        """
        night = context.night
        lease = await self.services.store.claim(night.id, node_key, owner=night.owner, lease_s=night.lease_s)
        context = replace(context, attempt=lease.attempt)
        sink = await self.services.artifacts.open_attempt(
            night.id, context.task_key, context.node.id, lease.attempt
        )
        evidence = Evidence(sink)
        await evidence.put_json("input.json", _input(context))
        began = (self.services.clock.now(), self.services.clock.monotonic())
        try:
            result = await self._execute(context, evidence, lease, timeout_s)
        except asyncio.CancelledError:
            # The night was interrupted, not the work decided: the node is ready for the next process.
            result = NodeResult(AttemptOutcome.CANCELLED, NodeState.READY, "cancelled")
            await asyncio.shield(self._settle(context, evidence, lease, result, began))
            raise
        result = replace(result, completion_tokens=evidence.tally.completion_tokens)
        result = replace(result, retry=_follow(node_key, result, tried, limit))
        state = result.state if result.retry is None else NodeState.READY
        await self._settle(context, evidence, lease, replace(result, state=state), began)
        return result

    async def _execute(
        self, context: NodeContext, evidence: Evidence, lease: Lease, timeout_s: float
    ) -> NodeResult:
        """Execute under a deadline with a heartbeat beside it; errors of the work become results."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._execute_leased(context, evidence, lease)
        except TimeoutError:
            cause = f"did not finish within {timeout_s:.0f} s"
            await evidence.log_error(cause)
            return NodeResult(AttemptOutcome.TIMED_OUT, NodeState.FAILED, cause, kind=FailureKind.TRANSIENT)
        except LeaseLostError:
            raise
        except PantheonError as error:
            await evidence.log_error(f"{error.code}: {error.message}")
            conflict = isinstance(error, MergeConflictError)
            outcome = AttemptOutcome.FAILED if conflict else AttemptOutcome.CRASHED
            kind = FailureKind.NEVER if conflict else FailureKind.INFRASTRUCTURE
            return NodeResult(outcome, NodeState.FAILED, error.message, kind=kind)
        except Exception as error:  # noqa: BLE001 (a bug in one node must not end the night; it is named)
            cause = f"unexpected {type(error).__name__}: {error}"[:500]
            await evidence.log_error("".join(traceback.format_exception(error))[-4_000:])
            return NodeResult(AttemptOutcome.CRASHED, NodeState.FAILED, cause)

    async def _execute_leased(self, context: NodeContext, evidence: Evidence, lease: Lease) -> NodeResult:
        """Execute while the lease is renewed; a lost lease ends the execution."""
        if context.conflict:
            raise MergeConflictError(context.conflict)
        try:
            async with asyncio.TaskGroup() as group:
                beat = group.create_task(self._heartbeat(lease), name=f"heartbeat {lease.node}")
                result = await self.execute(context, evidence)
                beat.cancel()
        except BaseExceptionGroup as errors:
            # One task raises here and the other is cancelled for it: the group holds a single cause.
            raise errors.exceptions[0] from None
        return result

    async def _heartbeat(self, lease: Lease) -> None:
        night_lease_s = (lease.expires_at - self.services.clock.now()).total_seconds()
        while True:
            await self.services.clock.sleep(max(night_lease_s / 3, 0.5))
            lease = await self.services.store.renew(lease, lease_s=max(night_lease_s, 1.0))

    async def _settle(
        self,
        context: NodeContext,
        evidence: Evidence,
        lease: Lease,
        result: NodeResult,
        began: tuple[datetime, float],
    ) -> None:
        metrics = {
            **evidence.tally.as_dict(),
            "outcome": str(result.outcome),
            "ended": result.ended,
            "agent": result.agent,
            "wall_s": round(self.services.clock.monotonic() - began[1], 3),
            "started_at": began[0].isoformat(),
            "ended_at": self.services.clock.now().isoformat(),
        }
        if result.output is not None:
            await evidence.put_json("output.json", result.output)
        await evidence.put_json("metrics.json", metrics)
        await self._attest(context, evidence, lease, result)
        await self.services.store.settle(
            lease,
            AttemptResult(
                outcome=result.outcome,
                node_state=result.state,
                cause=result.cause,
                output_commit=result.commit,
                artifacts=evidence.sink.folder,
                metrics={**metrics, "output": dict(result.output or {})},
            ),
        )

    async def _attest(
        self, context: NodeContext, evidence: Evidence, lease: Lease, result: NodeResult
    ) -> None:
        """Sign what the attempt left: every artifact's digest, the commits, and what was in force."""
        digests = await evidence.sink.seal()
        agent_name = (result.agent or "").partition("@")[0]
        statement = make_statement(
            digests,
            ATTEMPT_PREDICATE,
            {
                "night": context.night.id,
                "task": context.task_key,
                "node": context.node.id,
                "attempt": lease.attempt,
                "fencingToken": lease.token,
                "outcome": str(result.outcome),
                "inputCommit": context.input_commit,
                "outputCommit": result.commit or "",
                "agent": result.agent or "",
                "agentDigest": self.services.content.digests.get("agents", {}).get(agent_name, ""),
                "runtimeOrigin": "local",
                "endedAt": self.services.clock.now().isoformat(),
            },
        )
        signature = await self.services.signer.sign(pae(PAYLOAD_TYPE, statement))
        envelope = seal(statement, [(self.services.signer.key_id, signature)])
        await evidence.sink.put("attestation.json", envelope.to_bytes() + b"\n")
        await evidence.sink.seal()


def _follow(node_key: str, result: NodeResult, tried: int, limit: int) -> Retry | None:
    """Return the attempt that follows a result, if one does; the jitter is the node's own, so it can be repeated."""
    if result.state is not NodeState.FAILED:
        return None
    fraction = int(digest_bytes(f"{node_key}/{tried}".encode())[:8], 16) / 2**32
    decision = decide_retry(result.outcome, result.kind, tried, limit, fraction)
    return decision if isinstance(decision, Retry) else None


def _input(context: NodeContext) -> Mapping[str, Any]:
    return {
        "task": context.task.model_dump(mode="json"),
        "task_key": context.task_key,
        "flow": context.flow.name,
        "node": context.node.model_dump(mode="json"),
        "attempt": context.attempt,
        "base_commit": context.base_commit,
        "input_commit": context.input_commit,
    }
