"""Every way a model server can fail, against a whole night: it pauses, asks again, and goes on; no task pays.

Each case breaks the scripted server in the middle of a night and mends it after a while.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pantheon.core import breaker
from pantheon.core.agent import Agent
from pantheon.core.canaries import CanaryPolicy
from pantheon.core.errors import ModelGoneError
from pantheon.core.policy import NightBudget, NightPolicy
from pantheon.core.records import AttemptOutcome, AttemptRecord
from pantheon.core.retry import MAX_LOSSES
from pantheon.engine import guarded_model, server_keeper
from pantheon.testing.night import NO_CANARIES, Bench, NoteScript, opened
from pantheon.testing.sample_notes import PROPOSALS
from pantheon.testing.scripted_model import Answer, Raw, Reply, Say
from pantheon.testing.user_repository import make_repository

NOTE = "docs/note.md"
SECOND = "docs/other.md"
FILES = {
    NOTE: b"queues notes from the call\n\nWe compared retries with dead letter queues for the order service.\n"
    b"Retries with backoff hide slow consumers, dead letter queues show them for all orders.\n",
    SECOND: b"caches again, sorry\n\nThe cache of the catalogue service keeps stale prices for ten minutes.\n"
    b"Invalidation by event beats lifetimes.\n",
    "docs/third.md": b"indexes\n\nThe monthly report needs a composite index on customer and date.\n",
}


class Flaky:
    """A server that breaks at a call of the night and stays broken for some requests.

    Args:
        fault: what it answers while it is broken.
        at: number of the night's call that breaks first, from 1.
        broken: how many requests it stays broken, probes included.
    """

    def __init__(self, fault: Reply, *, at: int = 1, broken: int = 4) -> None:
        self.well = NoteScript(PROPOSALS)
        self.fault, self.at, self.left = fault, at, broken
        self.calls = self.probes = 0

    def __call__(self, body: Mapping[str, Any]) -> Reply:
        probe = body["messages"][0]["content"] == guarded_model.PROBE.messages[0].content
        self.probes += probe
        self.calls += not probe
        if self.calls >= self.at and self.left > 0:
            self.left -= 1
            return self.fault
        return Say("1", finish_reason="length") if probe else self.well(body)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of a hundredth: what is tested is what follows what."""
    monkeypatch.setattr(breaker, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(breaker, "CEILING_S", 0.1)
    monkeypatch.setattr(guarded_model, "PROBE_S", 0.3)
    monkeypatch.setattr("pantheon.core.retry.BASE_S", 0.02)
    monkeypatch.setattr("pantheon.adapters.http_model.FIRST_WAIT_S", 0.0)
    monkeypatch.setattr("pantheon.adapters.http_model.MAX_TRIES", 2)


@asynccontextmanager
async def bench(
    tmp_path: Path,
    script: Callable[[Mapping[str, Any]], Reply],
    *,
    call_s: int = 1,
    canaries: CanaryPolicy = NO_CANARIES,
) -> AsyncIterator[Bench]:
    """A repository with two notes, and agents whose calls have little time."""
    root = await asyncio.to_thread(make_repository, tmp_path / "user", FILES)
    async with opened(root, tmp_path, script, canaries=canaries) as found:
        content = found.services.content
        agents = {name: _hurried(agent, call_s) for name, agent in content.agents.items()}
        found.services = replace(found.services, content=replace(content, agents=agents))
        yield found


def _hurried(agent: Agent, call_s: int) -> Agent:
    limits = agent.spec.limits.model_copy(update={"call_timeout_s": call_s})
    return agent.model_copy(update={"spec": agent.spec.model_copy(update={"limits": limits})})


async def server_events(bench: Bench) -> list[str]:
    return [e.name for e in await bench.store.events("n1") if e.name.startswith("night.server")]


def broken(attempts: tuple[AttemptRecord, ...]) -> list[AttemptRecord]:
    return [a for a in attempts if a.result is not None and a.result.metrics.get("fault") == "server"]


HALF = b"data: " + json.dumps({"choices": [{"delta": {"content": '{"fina'}}]}).encode()
FAULTS: dict[str, Reply] = {
    "killed in mid-stream": Raw(HALF + b"\n\n"),
    "hung before a word": Raw(b"", hang=True),
    "hung in mid-stream": Raw(HALF + b"\n\n", hang=True),
    "500": Answer(500, b"internal error"),
    "503": Answer(503, b"loading model"),
    "429 for a while": Answer(429, b"busy", {"Retry-After": "0"}),
    "out of memory": Answer(500, b'{"error": {"message": "CUDA out of memory", "code": 500}}'),
    "out of memory in the stream": Raw(b'data: {"error": {"message": "out of memory", "code": 500}}\n\n'),
    "garbage": Raw(b"data: \xff\xfe no json\n\n"),
    "half a JSON": Raw(HALF[:30] + b"\n\n"),
    "not HTTP streaming": Answer(200, b"<html>hello</html>"),
    "endless stream": Raw((HALF + b"\n\n") * 60_000, hang=True),
    "redirect": Answer(302, headers={"Location": "http://127.0.0.9/"}),
    "wrong model": Answer(404, b"the model `scripted` does not exist"),
    "wants a key": Answer(401, b"unauthorized"),
}


@pytest.mark.parametrize(("fault", "at"), [*((name, 1) for name in FAULTS), ("killed in mid-stream", 2)])
async def test_a_night_outlives_the_fault(fault: str, at: int, tmp_path: Path) -> None:
    """The task is accepted, no attempt of it counts as failed, and the outage is on record, in work and in review."""
    script = Flaky(FAULTS[fault], at=at)
    async with bench(tmp_path, script) as night:
        summary = await night.night([NOTE])
        attempts, events = await night.store.attempts("n1"), await server_events(night)
    assert summary.outcomes == {"accepted": 1}, [task.cause for task in summary.tasks]
    assert script.left == 0
    assert broken(attempts)
    assert {a.result.outcome for a in attempts if a.result} <= {
        AttemptOutcome.SUCCEEDED,
        AttemptOutcome.CRASHED,
    }
    assert events[0] == "night.server_lost"
    assert events[-1] == "night.server_back"


async def test_without_the_breaker_the_same_fault_costs_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: when nobody holds nodes back, the outage uses up what a node has."""
    monkeypatch.setattr(server_keeper.ServerKeeper, "_open", lambda _: None)
    monkeypatch.setattr("pantheon.engine.attempt._go_back", lambda _, result: result)
    async with bench(tmp_path, Flaky(FAULTS["500"], broken=40)) as night:
        summary = await night.night([NOTE])
    assert summary.outcomes == {"failed": 1}


async def test_a_canary_is_asked_again_after_an_outage(tmp_path: Path) -> None:
    """A server that breaks under known-bad changes takes none of the measure away that the gate wants."""
    script = Flaky(FAULTS["killed in mid-stream"], at=4)
    async with bench(tmp_path, script, canaries=CanaryPolicy(rate=0, minimum=2)) as night:
        summary = await night.night([NOTE])
        attempts = await night.store.attempts("n1")
    assert summary.outcomes == {"accepted": 1}, [task.cause for task in summary.tasks]
    assert next(a.node.rpartition("#")[2] for a in broken(attempts)).startswith("review")


async def test_another_model_after_a_restart_is_not_worked_with(tmp_path: Path) -> None:
    """A server that comes back with another model is waited for until it serves the right one again."""
    well = NoteScript(PROPOSALS)
    served: list[int] = []

    def script(body: Mapping[str, Any]) -> Reply:
        probe = body["messages"][0]["content"] == "1"
        served.append(len(served))
        if len(served) == 2:
            night.server.model = "another"
        return Say("1", finish_reason="length") if probe else well(body)

    lost = asyncio.Event()
    async with bench(tmp_path, script) as night:
        await night.services.model.model_name(deadline_s=5)
        night.watch = lambda step: lost.set() if step.event == "night.server_lost" else None
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            running = group.create_task(night.night([NOTE]), name="night")
            await lost.wait()
            asked = len(night.server.requests)
            await asyncio.sleep(0.3)
            # Nothing of the night's work was shown to the other model: it is asked for its name only.
            assert len(night.server.requests) == asked
            night.server.model = "scripted"
        why = [e.details["why"] for e in await night.store.events("n1", name="night.server_lost")]
    assert running.result().outcomes == {"accepted": 1}
    assert "another model" in why[0]


async def test_a_slow_call_on_a_server_that_is_well_is_the_calls_own(tmp_path: Path) -> None:
    """The control of the suspicion: a time-out with a probe that works opens nothing, and costs the attempt."""

    def script(body: Mapping[str, Any]) -> Reply:
        probe = body["messages"][0]["content"] == "1"
        return Say("1", finish_reason="length") if probe else Raw(b"", hang=True)

    async with bench(tmp_path, script) as night:
        summary = await night.night([NOTE])
        attempts, events = await night.store.attempts("n1"), await server_events(night)
    assert summary.outcomes == {"failed": 1}
    assert (events, broken(attempts)) == ([], [])
    assert AttemptOutcome.TIMED_OUT in {a.result.outcome for a in attempts if a.result}


async def test_a_request_that_is_refused_says_nothing_against_the_server(tmp_path: Path) -> None:
    """A prompt that is too long fails its own attempt; nobody else waits."""
    well = NoteScript(PROPOSALS)

    def script(body: Mapping[str, Any]) -> Reply:
        long = any("caches again" in message["content"] for message in body["messages"])
        return Answer(400, b"the prompt exceeds the context") if long else well(body)

    async with bench(tmp_path, script) as night:
        summary = await night.night([NOTE, SECOND])
        events = await server_events(night)
    assert summary.outcomes == {"accepted": 1, "failed": 1}
    assert events == []


async def test_the_end_of_the_window_holds_in_an_outage(tmp_path: Path) -> None:
    """A night whose server never comes back ends with its window; the tasks were not reached, and say so."""
    async with bench(tmp_path, Flaky(FAULTS["500"], broken=10**9)) as night:
        at_once = {
            name: flow.model_copy(
                update={"node": tuple(one.model_copy(update={"expected_s": 0.01}) for one in flow.node)}
            )
            for name, flow in night.services.content.flows.items()
        }
        night.services = replace(night.services, content=replace(night.services.content, flows=at_once))
        night.ends_at = night.services.clock.now() + timedelta(seconds=1.5)
        summary = await night.night([NOTE, SECOND])
    assert summary.outcomes == {"not_reached": 2}
    assert {task.cause for task in summary.tasks} == {"the night's window ended before it"}


async def test_the_budget_holds_in_an_outage_and_counts_once(tmp_path: Path) -> None:
    """Tokens of an attempt that goes back are counted once: with it, not again with what follows."""
    script = Flaky(FAULTS["killed in mid-stream"], at=1)
    async with bench(tmp_path, script) as night:
        await night.night([NOTE])
        attempts = await night.store.attempts("n1")
    counted = sum(a.result.metrics["completion_tokens"] for a in attempts if a.result)
    answered = sum(
        json.loads(line)["reply"]["usage"]["completion_tokens"]
        for path in sorted((tmp_path / "artifacts").rglob("llm_calls.jsonl"))
        for line in path.read_text().splitlines()
        if json.loads(line)["reply"]
    )
    assert counted == answered > 0
    assert sum(a.result.metrics["completion_tokens"] for a in broken(attempts) if a.result) == 0


async def test_the_wall_budget_ends_an_outage(tmp_path: Path) -> None:
    """Waiting for a server is night time: the budget ends it, and what is left was not reached."""
    async with bench(tmp_path, Flaky(FAULTS["500"], broken=10**9)) as night:
        content = night.services.content
        budget = NightBudget.model_construct(wall_s=1, output_tokens=10**9)
        policy = NightPolicy().model_copy(update={"budget": budget})
        night.services = replace(night.services, content=replace(content, night_policy=policy))
        summary = await night.night([NOTE])
    assert summary.outcomes == {"not_reached": 1}
    assert summary.tasks[0].cause == "the night's budget was spent before it"


async def test_what_breaks_the_server_each_time_is_left_to_the_day(tmp_path: Path) -> None:
    """A task that takes the server down whenever it runs is set aside, not failed; the others go on."""
    well = NoteScript(PROPOSALS)

    def script(body: Mapping[str, Any]) -> Reply:
        if body["messages"][0]["content"] == "1":
            return Say("1", finish_reason="length")
        if any("caches again" in message["content"] for message in body["messages"]):
            return FAULTS["killed in mid-stream"]
        return well(body)

    async with bench(tmp_path, script) as night:
        summary = await night.night([NOTE, SECOND])
        attempts = await night.store.attempts("n1")
    assert summary.outcomes == {"accepted": 1, "not_reached": 1}, [task.cause for task in summary.tasks]
    (left,) = [task for task in summary.tasks if task.outcome == "not_reached"]
    assert f"broke down under it {MAX_LOSSES} times" in left.cause
    assert len([a for a in broken(attempts) if a.node.startswith(left.key)]) == MAX_LOSSES


class Gone:
    """A server of ours that was started again as often as it may be."""

    async def mend(self, *, hung: bool) -> None:
        raise ModelGoneError("started 10 times; it does not stay")


async def test_a_server_that_is_gone_leaves_the_night_open(tmp_path: Path) -> None:
    """The night stops, keeps what it has, and the next process goes on with it without counting what was lost."""
    async with bench(tmp_path, Flaky(FAULTS["500"], broken=10**9)) as night:
        night.services = replace(night.services, server=Gone())
        summary = await night.night([NOTE])
        assert summary.left_open
        assert summary.server_gone
        assert summary.outcomes == {"open": 1}
    async with opened(tmp_path / "user", tmp_path, NoteScript(PROPOSALS)) as night:
        summary = await night.work([])
    assert summary.outcomes == {"accepted": 1}, [task.cause for task in summary.tasks]
