"""What one attempt leaves: its evidence while it runs, and at its end artifacts, attestation and the store's record.

Invariant: artifacts are sealed and attested before the store is told how the attempt ended.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pantheon.core.dag import PlannedNode
from pantheon.core.records import AttemptResult, Conclusion, Lease
from pantheon.core.retry import FailureKind
from pantheon.core.statement import ATTEMPT_PREDICATE
from pantheon.engine.evidence import Evidence
from pantheon.engine.ledger import Entry
from pantheon.engine.results import NodeResult
from pantheon.engine.services import NodeContext, Services
from pantheon.ports.crash_points import CrashPoint, reach

SERVER_FAULT = "server"
"""What ``fault`` says in the metrics of an attempt under which the model server broke."""


class Attest(Protocol):
    """Signs what an attempt left."""

    async def __call__(self, record: "AttemptRecorder", result: NodeResult) -> None:
        """Seal the artifacts and add the attestation."""
        ...


@dataclass
class AttemptRecorder:
    """The record of one attempt in the making.

    Args:
        services: ports and content.
        task: task key.
        planned: the node.
        lease: the attempt's lease.
        evidence: its artifacts.
    """

    services: Services
    task: str
    planned: PlannedNode
    lease: Lease
    evidence: Evidence
    context: NodeContext | None = None
    """What the attempt starts from, once that is known."""
    entry: "asyncio.Future[Entry] | None" = None
    """The attestation in the ledger, once it is entered."""
    _began: tuple[datetime, float] = field(init=False)
    _ended_at: datetime = field(init=False)
    _settled: AttemptResult | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._began = (self.services.clock.now(), self.services.clock.monotonic())

    async def begin(self, context: NodeContext) -> NodeContext:
        """Note what the attempt starts from."""
        self.context = context
        await self.evidence.put_json("input.json", lambda: _input(context))
        return context

    async def settle(self, result: NodeResult, attest: Attest, conclusion: Conclusion | None = None) -> None:
        """Write what is left to write, attest it and tell the store.

        Done again with the same result, as after a cancellation in the middle, it writes the same bytes.

        Raises:
            LeaseLostError: another owner has the node.
            StoreError, ArtifactError: infrastructure.
        """
        if self._settled is None:
            self._settled, self._ended_at = self._result(result), self.services.clock.now()
        settled = self._settled
        if self.context is None:
            await self.evidence.put_json("input.json", self._unprepared)
        if (output := result.output) is not None:
            await self.evidence.put_json("output.json", lambda: output)
        await self.evidence.put_json("metrics.json", lambda: self._metrics(settled))
        await attest(self, result)
        await self.services.store.settle(self.lease, settled, conclusion=conclusion)

    def _result(self, result: NodeResult) -> AttemptResult:
        clock = self.services.clock
        metrics = {
            **self.evidence.tally.as_dict(),
            "outcome": str(result.outcome),
            "ended": result.ended,
            "agent": result.agent,
            "wall_s": round(clock.monotonic() - self._began[1], 3),
            "output": dict(result.output or {}),
        }
        if result.kind is FailureKind.SERVER:
            metrics["fault"] = SERVER_FAULT
        return AttemptResult(
            outcome=result.outcome,
            node_state=result.state,
            cause=result.cause,
            output_commit=result.commit,
            artifacts=self.evidence.sink.folder,
            metrics=metrics,
        )

    def _metrics(self, settled: AttemptResult) -> Mapping[str, Any]:
        """Return the metrics as an artifact: with the times, which the store has in columns, and without the output."""
        times = {"started_at": self._began[0].isoformat(), "ended_at": self._ended_at.isoformat()}
        return {name: value for name, value in settled.metrics.items() if name != "output"} | times

    def _unprepared(self) -> Mapping[str, Any]:
        return {
            "task_key": self.task,
            "node": self.planned.node.model_dump(mode="json"),
            "attempt": self.lease.attempt,
        }


async def attest_attempt(record: AttemptRecorder, result: NodeResult) -> None:
    """Attest what the attempt left: every artifact's digest, the commits, and what was in force.

    The ledger names artifacts only when they are durable, and the store hears of the attempt only when the ledger is.
    """
    sink = record.evidence.sink
    if record.entry is None:
        await sink.seal()
        record.entry = record.services.ledger.enter(
            ATTEMPT_PREDICATE, sink.digests(), _claim_of(record, result)
        )
    entry = await asyncio.shield(record.entry)
    reach(CrashPoint.ATTEST_BEFORE)
    await sink.put("attestation.json", entry.line + b"\n")
    await sink.seal()
    reach(CrashPoint.ATTEST_AFTER)


def _claim_of(record: AttemptRecorder, result: NodeResult) -> Mapping[str, Any]:
    services, context, lease = record.services, record.context, record.lease
    agent_name = (result.agent or "").partition("@")[0]
    return {
        "night": lease.night,
        "task": record.task,
        "node": record.planned.node.id,
        "attempt": lease.attempt,
        "fencingToken": lease.token,
        "outcome": str(result.outcome),
        "inputCommit": "" if context is None else context.input_commit,
        "outputCommit": result.commit or "",
        "agent": result.agent or "",
        "agentDigest": services.content.digests.get("agents", {}).get(agent_name, ""),
        "runtimeOrigin": "local",
        "endedAt": services.clock.now().isoformat(),
    }


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
