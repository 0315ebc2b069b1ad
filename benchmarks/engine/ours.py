"""Pantheon's whole engine: store, leases, events, scheduler. Git and the model are left out, nodes do nothing.

    python benchmarks/engine/ours.py noop --size 2000 --at-once 32

``noop``, ``dag``, ``agentlike`` and ``kill`` run with artifacts off; ``signed`` is ``noop`` with artifacts and
signatures on. ``plan`` only plans. Every task is a flow of one node, so that a task's own records are counted too.
``agentlike`` has a flow for each 5 ms of expected work, so that the engine knows what the floors know, coarser.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from subject import Job, main
from workload import Node, note

from pantheon.adapters.artifacts import ArtifactFolder
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.ledger_file import LedgerFolder
from pantheon.adapters.signer_child import signer_child
from pantheon.adapters.store import open_store
from pantheon.adapters.witness_file import WitnessFile
from pantheon.core.dag import build_plan
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.night_plan import plan_tasks
from pantheon.core.policy import GatePolicy, NightPolicy
from pantheon.core.records import BatchRecord, NightRecord, TaskRecord
from pantheon.core.task import Task
from pantheon.engine.attempt_record import AttemptRecorder, attest_attempt
from pantheon.engine.evidence import Evidence
from pantheon.engine.ledger import NightLedger
from pantheon.engine.ledger_opening import open_ledger
from pantheon.engine.night import Night
from pantheon.engine.results import NodeResult, succeeded
from pantheon.engine.services import Content, NodeContext, Services
from pantheon.testing.model import FakeModel
from pantheon.testing.repository import FakeRepository
from pantheon.testing.signing import FakeSigner
from pantheon.tools.registry import Registry

BATCH = "b" * 12
CLASS_S = 0.005


def flow_name(seconds: float) -> str:
    """Return the flow of the tasks that take about so long."""
    return f"bench-{round(seconds / CLASS_S)}"


def flows_of(graph: Iterable[Node]) -> dict[str, Flow]:
    """Return a flow of one node for each class of duration in the graph."""
    longest = {flow_name(node.seconds): node.seconds for node in sorted(graph, key=lambda one: one.seconds)}
    return {
        name: Flow(
            name=name,
            accepts=(name,),
            node=(
                FlowNode(
                    id="work", tool="noop", resources={"model": 1}, timeout_s=60, expected_s=seconds or None
                ),
            ),
        )
        for name, seconds in longest.items()
    }


class NoSink:
    """``ports.artifacts.ArtifactSink`` that keeps nothing."""

    folder = ""
    keeps = False

    async def put(self, name: str, data: bytes) -> None:
        """Forget an artifact."""

    async def append(self, name: str, data: bytes) -> None:
        """Forget a line."""

    async def seal(self) -> Mapping[str, str]:
        """Return that there is nothing."""
        return {}


class NoArtifacts:
    """``ports.artifacts.ArtifactStore`` that keeps nothing."""

    async def open_attempt(self, night: str, task: str, node: str, attempt: int) -> NoSink:  # noqa: ARG002 (port)
        """Return a folder that is none."""
        return NoSink()

    async def put_night_file(self, night: str, name: str, data: bytes) -> str:  # noqa: ARG002 (port)
        """Forget a file."""
        return ""


async def no_attestation(record: AttemptRecorder, result: NodeResult) -> None:
    """Sign nothing."""


@dataclass(frozen=True)
class Work:
    """What a node does: wait as long as the graph says."""

    job: Job
    seconds: Sequence[float]

    async def __call__(self, context: NodeContext, evidence: Evidence) -> NodeResult:  # noqa: ARG002 (the engine's)
        """Execute one node."""
        place = int(context.task.id)
        if self.job.work.startswith("kill"):
            note(self.job.folder, "start", place)
        if self.seconds[place]:
            await asyncio.sleep(self.seconds[place])
        if self.job.work.startswith("kill"):
            note(self.job.folder, "end", place)
        return succeeded(context.input_commit)


def lines_of(job: Job) -> list[TaskRecord]:
    """Return the graph as task lines."""
    return [
        TaskRecord(
            key=f"{BATCH}/{place}",
            batch=BATCH,
            line=Task(
                id=str(place),
                kind=flow_name(node.seconds),
                goal="Nothing",
                needs=tuple(str(need) for need in node.needs),
            )
            .canonical_line()
            .decode(),
        )
        for place, node in enumerate(job.graph)
    ]


async def open_signed(
    stack: AsyncExitStack, folder: Path, record: NightRecord, clock: SystemClock
) -> NightLedger:
    """Open the ledger of the night, signed by a process of its own as in a real one."""
    signer = await stack.enter_async_context(
        signer_child(
            folder / "keys" / "night",
            outside=folder / "repository",
            log=folder / "signer.log",
            environment=dict(os.environ),
            clock=clock,
        )
    )
    ledger = open_ledger(
        record,
        (),
        store=LedgerFolder(folder / "artifacts"),
        witness=WitnessFile(folder / "witness.jsonl"),
        signer=signer,
        clock=clock,
    )
    return await stack.enter_async_context(ledger)


async def run(job: Job) -> None:
    """Run one night over the job's graph, or go on with it when one was killed."""
    records, graph, clock = lines_of(job), job.graph, SystemClock()
    signed = job.work == "signed"
    repository = FakeRepository({})
    store = await open_store(job.folder / "pantheon.db", clock, write=True)
    services = Services(
        store=store,
        repository=repository,
        artifacts=ArtifactFolder(job.folder / "artifacts") if signed else NoArtifacts(),
        signer=FakeSigner(),
        clock=clock,
        model=FakeModel([]),
        tools=Registry(()),
        content=Content(
            agents={},
            flows=flows_of(graph),
            gate_policy=GatePolicy(),
            night_policy=NightPolicy(),
            digests={},
        ),
    )
    batch = BatchRecord(name=BATCH, digest="0" * 64, lines=len(records), enqueued_at=clock.now(), path="q")
    # A slot is a node's while it works; the nodes that wait for their commit are those beyond.
    limits = {"at_once": 1} if job.at_once == 1 else {}
    record = NightRecord(id="n", base_commit=repository.head, branch="b", started_at=clock.now())
    known = [one for one in await store.nights() if one.id == record.id]
    async with AsyncExitStack() as stack:
        if signed:
            services = replace(services, open_ledger=await open_signed(stack, job.folder, record, clock))
        night = Night(
            services=services,
            slots={"model": job.at_once},
            owner="bench",
            lease_s=60.0,
            watch=lambda _: None,
            execute=Work(job, [node.seconds for node in graph]),
            attest=attest_attempt if signed else no_attestation,
            **limits,
        )
        with job.timed():
            await store.add_batch(batch, records)
            begun = time.perf_counter()
            summary = await night.run(known[0] if known else record, [one.key for one in records])
            job.found["night_s"] = time.perf_counter() - begun
    await store.aclose()
    if summary.outcomes != {"accepted": len(records)}:
        raise SystemExit(f"not every task was accepted: {summary.outcomes}")


def plan(job: Job) -> None:
    """Plan the tasks of a layered graph into one DAG."""
    work, job.work = job.work, "dag"
    lines, flows = {record.key: record.line for record in lines_of(job)}, flows_of(job.graph)
    job.work = work
    with job.timed():
        build_plan(plan_tasks(lines, flows.values()))


if __name__ == "__main__":
    RUNS = {**dict.fromkeys(("noop", "dag", "agentlike", "kill", "killdag", "signed"), run), "plan": plan}
    sys.exit(main("pantheon", ("pantheon-nightshift", "aiosqlite"), RUNS))
