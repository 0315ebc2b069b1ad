"""A real vLLM that is killed, stops, or comes back as another one in the middle of a night: no task pays for it."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pantheon.adapters.http_model import HttpModelClient
from pantheon.core import breaker
from pantheon.core.agent import load_agent
from pantheon.core.flow import load_flow
from pantheon.core.outages import BACK, LOST, STILL_LOST
from pantheon.core.records import AttemptOutcome
from pantheon.core.task import Task
from pantheon.engine import guarded_model
from pantheon.engine.night_run import Progress
from pantheon.testing import describe
from pantheon.testing.night import Bench, opened
from pantheon.testing.scripted_model import Answer
from pantheon.testing.user_repository import make_repository
from pantheon.testing.vllm_server import Vllm

pytestmark = pytest.mark.vllm

TASKS = 4
CALL_S = 45
"""Seconds that a call may take; on two cores a sound one takes a quarter of it."""
LIMIT_S = 400.0


class Faulty:
    """A night on a real server that a test breaks while it is answering.

    Args:
        bench: the night.
        vllm: its server.
        artifacts: where its evidence is.
    """

    def __init__(self, bench: Bench, vllm: Vllm, artifacts: Path) -> None:
        self.bench, self.vllm, self.artifacts = bench, vllm, artifacts
        self._told: asyncio.Queue[Progress] = asyncio.Queue()
        bench.watch = self._told.put_nowait

    async def see(self, name: str, why: str = "") -> None:
        """Wait until something is told of the server, for a reason with these words."""
        while True:
            step = await self._told.get()
            if step.event == name and why in step.cause:
                return

    async def answering(self) -> None:
        """Wait until the server is in the middle of answers."""
        await asyncio.to_thread(self._wait_answering)

    def _wait_answering(self) -> None:
        until, wanted = time.monotonic() + CALL_S, self.vllm.generated() + 2 * TASKS
        while self.vllm.generated() < wanted:
            assert time.monotonic() < until
            time.sleep(0.1)

    async def check(self) -> None:
        """All was done, once, and paid once; what the server broke is on record as its own fault."""
        attempts = [a for a in await self.bench.store.attempts("n1") if a.result is not None]
        broken = [a for a in attempts if a.result and a.result.metrics.get("fault") == "server"]
        well = [a for a in attempts if a not in broken]
        assert broken
        assert {a.result.outcome for a in broken if a.result} == {AttemptOutcome.CRASHED}
        assert [a.result.outcome for a in well if a.result] == [AttemptOutcome.SUCCEEDED] * TASKS
        assert len({a.node for a in well}) == TASKS
        calls = [
            json.loads(line)
            for path in sorted(self.artifacts.rglob("llm_calls.jsonl"))
            for line in path.read_text().splitlines()
        ]
        replies = [call["reply"]["usage"]["completion_tokens"] for call in calls if call["reply"]]
        paid = [a.result.metrics["completion_tokens"] for a in attempts if a.result]
        assert len(replies) == TASKS
        assert sum(paid) == sum(replies) > 0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is back is asked at once."""
    monkeypatch.setattr(breaker, "CEILING_S", 2.0)
    monkeypatch.setattr(guarded_model, "PROBE_S", 5.0)


@pytest.fixture
async def faulty(vllm: Vllm, tmp_path: Path) -> AsyncIterator[Faulty]:
    async with _opened(vllm, tmp_path) as bench:
        yield Faulty(bench, vllm, tmp_path / "artifacts")


@asynccontextmanager
async def _opened(vllm: Vllm, tmp_path: Path) -> AsyncIterator[Bench]:
    notes = {f"docs/{n}.md": f"Note {n} on queues, caches and their owners.\n".encode() for n in range(TASKS)}
    root = await asyncio.to_thread(make_repository, tmp_path / "user", notes)
    async with opened(root, tmp_path, lambda _: Answer(500)) as bench:
        agent = load_agent(describe.AGENT, describe.agent_files(call_timeout_s=CALL_S))
        flow = load_flow("describe.toml", describe.flow_file())
        content = replace(bench.services.content, agents={describe.AGENT: agent}, flows={flow.name: flow})
        model = HttpModelClient("vllm", base_url="http://localhost", uds=str(vllm.socket))
        await bench.services.model.aclose()
        bench.services = replace(bench.services, content=content, model=model)
        try:
            yield bench
        finally:
            await model.aclose()


async def run(faulty: Faulty) -> None:
    """Run the night to its end; every task is accepted."""
    tasks = [
        Task(id=f"n{n}", kind=describe.KIND, goal="describe the note", targets=(f"docs/{n}.md",))
        for n in range(TASKS)
    ]
    summary = await faulty.bench.work(tasks)
    assert summary.outcomes == {"accepted": TASKS}, [task.cause for task in summary.tasks]


@pytest.mark.parametrize("break_it", [Vllm.kill, Vllm.kill_engine], ids=["all of it", "only its engine"])
async def test_killed_in_mid_stream(faulty: Faulty, break_it: Callable[[Vllm], None]) -> None:
    """Killed while it answers, whole or behind its HTTP server: the night waits until it was started again, and goes
    on with everything."""
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(run(faulty), name="night")
        await faulty.answering()
        await asyncio.to_thread(break_it, faulty.vllm)
        await faulty.see(LOST)
        await asyncio.to_thread(faulty.vllm.start)
        await faulty.see(BACK)
    await faulty.check()


async def test_stopped_in_mid_stream(faulty: Faulty) -> None:
    """A server that hangs is found lost by its silence, and worked with again once it goes on."""
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(run(faulty), name="night")
        await faulty.answering()
        faulty.vllm.signal(signal.SIGSTOP)
        try:
            await faulty.see(LOST)
        finally:
            faulty.vllm.signal(signal.SIGCONT)
        await faulty.see(BACK)
    await faulty.check()


async def test_started_again_with_another_model(faulty: Faulty) -> None:
    """Another model at the same address is asked for its name only, until the right one is back."""
    await faulty.bench.services.model.model_name(deadline_s=10)
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(run(faulty), name="night")
        await faulty.answering()
        await asyncio.to_thread(faulty.vllm.kill)
        await faulty.see(LOST)
        await asyncio.to_thread(faulty.vllm.start, "another")
        await faulty.see(STILL_LOST, "'another'")
        assert await asyncio.to_thread(faulty.vllm.generated) == 0
        await asyncio.to_thread(faulty.vllm.start)
        await faulty.see(BACK)
    await faulty.check()
