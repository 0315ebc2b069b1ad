"""An attempt's evidence names every model call that was begun, and is written the same way whatever it holds."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from pantheon.core.chat import ChatReply, ChatRequest, Message
from pantheon.core.errors import ModelLostError
from pantheon.engine.evidence import Evidence
from pantheon.testing.artifacts import FakeSink
from pantheon.testing.model import FakeModel, Spoken
from pantheon.testing.virtual_time import run_virtually

REQUEST = ChatRequest(messages=(Message(role="user", content="Catalogue this note."),))


class SlowSink(FakeSink):
    """A folder on a disk that takes its time."""

    async def append(self, name: str, data: bytes) -> None:
        await asyncio.sleep(0.01)
        await super().append(name, data)


def calls(sink: FakeSink) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sink.files["llm_calls.jsonl"].decode().splitlines()]


async def ask(evidence: Evidence, delay_s: float = 0.0) -> None:
    model = FakeModel(lambda _: Spoken("{}", delay_s=delay_s))
    await evidence.chat(model, REQUEST, purpose="step 1", deadline_s=60.0)


@pytest.mark.parametrize("sink", [FakeSink("a"), SlowSink("a")], ids=["fast", "slow"])
def test_a_call_cut_by_the_time_out_is_recorded(sink: FakeSink) -> None:
    """A call that its attempt's time-out cuts stands among the calls as cancelled, and the time-out still acts."""
    evidence = Evidence(sink)

    async def hurried() -> None:
        async with asyncio.timeout(0.03):
            await ask(evidence, delay_s=30)

    with pytest.raises(TimeoutError):
        run_virtually(hurried())
    assert b"Catalogue this note." in sink.files["llm_prompt.txt"]
    assert [(call["call"], call["error"], call["reply"]) for call in calls(sink)] == [(1, "cancelled", None)]


@pytest.mark.parametrize("wait_ms", range(0, 45, 3))
def test_a_call_cancelled_again_and_again_is_recorded_once(wait_ms: int) -> None:
    """Whenever cancellations arrive and however many, a call that was begun stands there exactly once."""
    sink = SlowSink("a")
    evidence = Evidence(sink)

    async def cancelled() -> int:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(ask(evidence, delay_s=0.01), name="ask")
            await asyncio.sleep(wait_ms / 1000)
            began = evidence.tally.calls
            for _ in range(3):
                asking.cancel()
                await asyncio.sleep(0.001)
        return began

    began = run_virtually(cancelled())
    assert [call["call"] for call in calls(sink)] == [1] if began else not sink.files


async def test_a_failed_call_keeps_its_own_error() -> None:
    """What the model client said is recorded as before."""
    sink = FakeSink("a")
    model = FakeModel(lambda _: ModelLostError("broke off"))
    with pytest.raises(ModelLostError):
        await Evidence(sink).chat(model, REQUEST, purpose="step 1", deadline_s=60.0)
    assert calls(sink)[0]["error"] == "model_lost: broke off"


async def test_an_answered_call_keeps_its_reply() -> None:
    """The record has the reply and no error."""
    sink = FakeSink("a")
    await ask(Evidence(sink))
    assert ChatReply.model_validate(calls(sink)[0]["reply"]).text == "{}"
    assert calls(sink)[0]["error"] is None


@pytest.mark.parametrize(
    "value",
    [
        {"title": "Über", "b": [1, {"z": None, "a": 2.5}], "a": {}, "list": []},
        {"path": "caf\udce9.md", "b": 1, "a": 2},
    ],
    ids=["text", "no-utf-8"],
)
async def test_json_is_for_people(value: Mapping[str, Any]) -> None:
    """JSON artifacts keep the order they were given, are indented by two and are always UTF-8."""
    sink = FakeSink("a")
    await Evidence(sink).put_json("output.json", lambda: value)
    expected = json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n"
    assert sink.files["output.json"] == expected
