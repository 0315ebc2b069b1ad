"""What one attempt leaves: its evidence while it runs, and at its end artifacts, attestation and the store's record.

Invariant: artifacts are sealed and attested before the store is told how the attempt ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pantheon.core.dag import PlannedNode
from pantheon.core.dsse import PAYLOAD_TYPE, pae, seal
from pantheon.core.records import AttemptResult, Conclusion, Lease
from pantheon.core.statement import ATTEMPT_PREDICATE, make_statement
from pantheon.engine.evidence import Evidence
from pantheon.engine.results import NodeResult
from pantheon.engine.services import NodeContext, Services
from pantheon.ports.crash_points import CrashPoint, reach


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
    envelope: bytes | None = None
    """The attestation, once it is signed."""
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
    """Sign what the attempt left: every artifact's digest, the commits, and what was in force."""
    if record.envelope is None:
        record.envelope = await _sign(record, result, record.evidence.sink.digests())
    reach(CrashPoint.ATTEST_BEFORE)
    await record.evidence.sink.put("attestation.json", record.envelope)
    await record.evidence.sink.seal()
    reach(CrashPoint.ATTEST_AFTER)


async def _sign(record: AttemptRecorder, result: NodeResult, digests: Mapping[str, str]) -> bytes:
    services, context, lease = record.services, record.context, record.lease
    agent_name = (result.agent or "").partition("@")[0]
    statement = make_statement(
        digests,
        ATTEMPT_PREDICATE,
        {
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
        },
    )
    signature = await services.signer.sign(pae(PAYLOAD_TYPE, statement))
    return seal(statement, [(services.signer.key_id, signature)]).to_bytes() + b"\n"


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
