"""A whole night for tests: a user's repository, the shipped agents and flow, SQLite, and a scripted model."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pantheon.adapters.artifacts import ArtifactFolder
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.content import load_folders, load_texts, shipped_content
from pantheon.adapters.git.repository import NightRepository
from pantheon.adapters.http_model import HttpModelClient
from pantheon.adapters.keys import FileSigner, open_key
from pantheon.adapters.ledger_file import LedgerFolder
from pantheon.adapters.store import open_store
from pantheon.adapters.witness_file import WitnessFile
from pantheon.core.agent import load_agent
from pantheon.core.canaries import CanaryPolicy
from pantheon.core.canonical import digest_bytes
from pantheon.core.flow import load_flow
from pantheon.core.notes.textcheck import normalise_tags
from pantheon.core.policy import GatePolicy, NightPolicy
from pantheon.core.records import BatchRecord, NightRecord, TaskRecord
from pantheon.core.task import Task
from pantheon.core.window import LandingHours
from pantheon.engine.ledger import NightLedger
from pantheon.engine.ledger_opening import open_ledger, record_containment
from pantheon.engine.night import Night, NightSummary, Progress, Watch
from pantheon.engine.services import Content, Services
from pantheon.ports.ledger import LedgerStore, Witness
from pantheon.ports.signer import NightSigner
from pantheon.ports.store import Store
from pantheon.testing.contained_night import contained
from pantheon.testing.scripted_model import Reply, Say, ScriptedServer, serve_script
from pantheon.testing.signing import InProcessSigner
from pantheon.tools.notes import NOTE_TOOLS
from pantheon.tools.registry import Registry

BATCH = "b" * 12
NO_CANARIES = CanaryPolicy(rate=0, minimum=0)

DEADLINE_S = 240.0
"""A test's night that takes longer hangs; on a machine that does much else a sound one takes a while."""


@dataclass
class NoteScript:
    """A model that catalogues notes by their first word and prefers what it proposed itself.

    Args:
        proposals: first word of a note -> what to finalize with.
        prefers: whether a reviewer's question is answered for the proposal.
    """

    proposals: Mapping[str, Mapping[str, Any]]
    prefers: Callable[[str], bool] = lambda _: True
    asked: list[str] = field(default_factory=list)

    def __call__(self, body: Mapping[str, Any]) -> Reply:
        turn = next(m["content"] for m in reversed(body["messages"]) if "<note>" in m["content"])
        word = turn.partition("<note>\n")[2].split(maxsplit=1)[0]
        proposal = self.proposals[word]
        question = turn.rpartition("</note>")[2]
        if "\nA: " not in question:
            self.asked.append(word)
            return Say(json.dumps({"finalize": proposal}))
        first = question.partition("\nA: ")[2].partition("\nB: ")[0]
        own = {proposal["title"], proposal["description"], ", ".join(normalise_tags(proposal["tags"]))}
        right, wrong = ("A", "B") if (first in own) == self.prefers(question) else ("B", "A")
        return Say(right, finish_reason="length", logprobs={right: -0.05, wrong: -3.0})


def proposal(subject: str, title: str, description: str, *tags: str) -> dict[str, Any]:
    """Return an output of the archivist."""
    return {"subject": subject, "title": title, "description": description, "tags": list(tags)}


@dataclass
class Bench:
    """Everything of one night, reopened as often as a test wants."""

    root: Path
    services: Services
    store: Store
    server: ScriptedServer
    ledgers: LedgerStore
    witness: Witness
    signer: NightSigner
    steps: list[Progress] = field(default_factory=list)
    paced: bool = False
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    ends_at: datetime | None = None
    finish_by: datetime | None = None
    landing: LandingHours | None = None
    land_only: bool = False
    watch: Watch = lambda _: None

    async def night(
        self,
        targets: Sequence[str],
        *,
        needs: Mapping[str, Sequence[str]] | None = None,
        night: str = "n1",
        batch: str = BATCH,
    ) -> NightSummary:
        """Run one night over one task per target; the task's id is the target's stem, numbered when it comes again."""
        tasks = [
            Task(
                id=Path(target).stem + (f"-{again + 1}" if (again := targets[:place].count(target)) else ""),
                kind="docops",
                goal="Catalogue the note",
                targets=(target,),
                needs=tuple((needs or {}).get(Path(target).stem, ())),
            )
            for place, target in enumerate(targets)
        ]
        return await self.work(tasks, night=night, batch=batch)

    async def work(self, tasks: Sequence[Task], *, night: str = "n1", batch: str = BATCH) -> NightSummary:
        """Run one night over these tasks."""
        records = [
            TaskRecord(key=f"{batch}/{t.id}", batch=batch, line=t.canonical_line().decode()) for t in tasks
        ]
        clock = self.services.clock
        frozen = BatchRecord(name=batch, digest="0" * 64, lines=len(tasks), enqueued_at=clock.now(), path="q")
        await self.store.add_batch(frozen, records)
        record = NightRecord(
            id=night,
            base_commit=await self.services.repository.resolve("HEAD"),
            branch=f"pantheon/night-{night}",
            started_at=clock.now(),
        )
        known = [one for one in await self.store.nights() if one.id == night]
        async with asyncio.timeout(DEADLINE_S), self._ledger(known[0] if known else record) as ledger:
            await record_containment(ledger, self.store, known[0] if known else record, contained())
            runner = Night(
                services=replace(self.services, open_ledger=ledger),
                slots={"model": 2, "cpu": 2, "git": 1},
                paced=self.paced,
                owner="test",
                lease_s=60.0,
                watch=self._see,
                stopping=self.stopping,
                ends_at=self.ends_at,
                finish_by=self.finish_by,
                landing=self.landing,
                land_only=self.land_only,
            )
            return await runner.run(known[0] if known else record, [r.key for r in records])

    def _ledger(self, record: NightRecord) -> AbstractAsyncContextManager[NightLedger]:
        return open_ledger(
            record,
            self.services.content.reviewers,
            store=self.ledgers,
            witness=self.witness,
            signer=self.signer,
            clock=self.services.clock,
        )

    def _see(self, step: Progress) -> None:
        self.steps.append(step)
        self.watch(step)


@asynccontextmanager
async def opened(
    root: Path,
    tmp_path: Path,
    script: Callable[[Mapping[str, Any]], Reply],
    *,
    canaries: CanaryPolicy = NO_CANARIES,
) -> AsyncIterator[Bench]:
    """Open a repository for nights with a scripted model.

    Args:
        root: the user's repository.
        tmp_path: where everything of Pantheon's goes.
        script: what the model says.
        canaries: what is planted among the reviews; by default nothing, for it makes a small night three times as long.
    """
    await asyncio.to_thread(tmp_path.mkdir, exist_ok=True)
    clock, top = SystemClock(), shipped_content()
    socket = tmp_path / "m.sock"
    await asyncio.to_thread(socket.unlink, missing_ok=True)
    agents = {name: load_agent(name, files) for name, files in load_folders(top / "agents").items()}
    loaded = [load_flow(name, data) for name, data in load_texts(top / "flows", "*.toml").items()]
    async with AsyncExitStack() as stack:
        # Each is left to the stack at once: a test that is cancelled in here must not leave the store open.
        store = await open_store(tmp_path / "state" / "pantheon.db", clock, write=True)
        stack.push_async_callback(store.aclose)
        server = await stack.enter_async_context(serve_script(script, socket))
        model = HttpModelClient("scripted", base_url="http://localhost", uds=str(socket))
        stack.push_async_callback(model.aclose)
        services = Services(
            store=store,
            repository=await NightRepository.open(root, tmp_path / "state", trees=4, clock=clock),
            artifacts=ArtifactFolder(tmp_path / "artifacts"),
            signer=FileSigner.open(tmp_path / "keys" / "night"),
            clock=clock,
            model=model,
            tools=Registry(NOTE_TOOLS),
            content=Content(
                agents=agents,
                flows={flow.name: flow for flow in loaded},
                gate_policy=GatePolicy(canaries=canaries),
                night_policy=NightPolicy(),
                digests={"agents": {name: digest_bytes(b"") for name in agents}},
            ),
        )
        yield Bench(
            root=root,
            services=services,
            store=store,
            server=server,
            ledgers=LedgerFolder(tmp_path / "artifacts"),
            witness=WitnessFile(tmp_path / "witness" / "checkpoints.jsonl"),
            signer=InProcessSigner(await asyncio.to_thread(open_key, tmp_path / "keys" / "night"), clock),
        )
