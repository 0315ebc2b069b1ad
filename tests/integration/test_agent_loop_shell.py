"""The agent loop's shell without a server: what goes back to the model, what is recorded, what is drawn how."""

import asyncio
import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.artifacts import ArtifactFolder
from pantheon.core.agent import Agent, AgentSpec
from pantheon.core.chat import ChatRequest
from pantheon.core.errors import (
    ModelChangedError,
    ModelError,
    ModelLostError,
    ModelOutputError,
    ModelRefusedError,
    ModelTimeoutError,
    ToolError,
)
from pantheon.core.loop import LoopOutcome
from pantheon.core.model import Frozen
from pantheon.core.task import Task
from pantheon.engine.agent_loop import AgentLoop, LoopResult
from pantheon.engine.evidence import Evidence
from pantheon.testing.clock import FakeClock
from pantheon.testing.model import FakeModel, Spoken
from pantheon.testing.tree import FakeTree
from pantheon.tools.registry import Registry, Tool, ToolContext, ToolResult

PROMPT = "{% block system %}s{% endblock %}{% block question %}What is it?{% endblock %}"
DONE = Spoken('{"finalize": {"word": "x"}}')


class Args(Frozen):
    """Arguments of the tools here."""

    path: str = "a.md"
    word: str = ""


def look(args: Args, context: ToolContext) -> ToolResult:
    return ToolResult(text=f"looked at {args.path}")


def fail(args: Args, context: ToolContext) -> ToolResult:
    raise ToolError(f"{args.path}: no\nsecond line")


def write(args: Args, context: ToolContext) -> ToolResult:
    context.files.write_bytes("a.md", args.word.encode())
    return ToolResult(text="written", changed=("a.md",), data={"args": {"path": "a.md"}})


def tool(name: str, call: Any, *, writes: bool = False, timeout_s: float = 5) -> Tool:
    return Tool(name, "Does.", Args, {"path": "a.md"}, call, writes=writes, timeout_s=timeout_s)


TOOLS = (tool("look", look), tool("fail", fail), tool("write", write, writes=True))


def worker(
    apply: tuple[Mapping[str, Any], ...] = (), prefetch: tuple[Mapping[str, Any], ...] = (), **limits: Any
) -> Agent:
    """An agent with all tools."""
    spec = AgentSpec.model_validate(
        {
            "name": "doc.test",
            "version": "1",
            "role": "worker",
            "runtime": {"origin": "local"},
            "tools": ("look", "fail"),
            "limits": limits,
            "apply": apply,
            "prefetch": prefetch,
            "output": {"schema": {"type": "object", "required": ["word"]}},
        }
    )
    return Agent(spec=spec, prompt=PROMPT, digest="0" * 64)


class Case:
    """One loop over answers in memory."""

    def __init__(self, tmp_path: Path, *said: Spoken | ModelError) -> None:
        self.root = tmp_path
        self.said = list(said)
        self.model = FakeModel(self.script)
        self.tree = FakeTree({"a.md": "old"})
        self.clock = FakeClock()
        self.tools: tuple[Tool, ...] = TOOLS
        self.evidence: Evidence

    def script(self, request: ChatRequest) -> Spoken | ModelError:
        return self.said.pop(0) if len(self.said) > 1 else self.said[0]

    async def run(self, agent: Agent, attempt: int = 1) -> LoopResult:
        task = Task(id="t", kind="k", goal="g", targets=("a.md",))
        self.evidence = Evidence(await ArtifactFolder(self.root).open_attempt("n", "t", "x", attempt))
        loop = AgentLoop(
            agent, task, attempt, self.model, Registry(self.tools),
            ToolContext(self.tree, task), self.evidence, self.clock,
        )  # fmt: skip
        return await loop.run()

    def artifact(self, name: str) -> str:
        return (self.root / "n/t/x/001" / name).read_text(encoding="utf-8")

    def last_turns(self) -> list[str]:
        return [request.messages[-1].content for request in self.model.requests]


def call(name: str, **args: Any) -> Spoken:
    """The answer that calls a tool."""
    return Spoken(json.dumps({"tool": name, "args": args}))


async def test_a_tools_error_goes_back_as_one_message(tmp_path: Path) -> None:
    """The model reads what the tool said, costs one failure, and goes on."""
    case = Case(tmp_path, call("fail", path="b.md"), DONE)
    result = await case.run(worker())
    assert result.outcome is LoopOutcome.FINALIZED
    assert "b.md: no" in case.last_turns()[1]
    assert len(case.model.requests[1].messages) == len(case.model.requests[0].messages)
    assert case.evidence.tally.failures == 1
    assert case.evidence.tally.tool_errors == [{"tool": "fail", "code": "tool"}]


async def test_wrong_arguments_are_a_tools_error(tmp_path: Path) -> None:
    """What the argument types refuse never reaches the tool, and the model reads which field."""
    case = Case(tmp_path, call("look", path=3), call("look", nonsense=1), DONE)
    await case.run(worker())
    assert "path" in case.last_turns()[1]
    assert "nonsense: unknown field" in case.last_turns()[2]


async def test_a_result_clears_the_refusal_and_is_shown(tmp_path: Path) -> None:
    """After a good call the old refusal is gone; the call and its result stand in the conversation."""
    case = Case(tmp_path, Spoken("garbage"), call("look"), DONE)
    await case.run(worker(max_failures=3))
    assert "was refused" in case.last_turns()[1]
    assert "was refused" not in case.last_turns()[2]
    assert "looked at a.md" in case.last_turns()[2]


async def test_everything_is_recorded(tmp_path: Path) -> None:
    """Prompt, model calls and tool calls are on disk, failed ones too, each call once."""
    case = Case(tmp_path, call("fail"), call("look"), Spoken("garbage"), DONE)
    await case.run(worker(max_failures=5, max_steps=9))
    calls = [json.loads(line) for line in case.artifact("llm_calls.jsonl").splitlines()]
    assert [one["call"] for one in calls] == [1, 2, 3, 4]
    assert [one["purpose"] for one in calls] == ["step 1", "step 2", "step 3", "step 4"]
    assert all(one["request"]["sampling"] and one["reply"]["text"] for one in calls)
    tools = [json.loads(line) for line in case.artifact("tool_calls.jsonl").splitlines()]
    assert [(one["step"], one["tool"], one["ok"]) for one in tools] == [(1, "fail", False), (2, "look", True)]
    prompt = case.artifact("llm_prompt.txt")
    assert prompt.count("##### call") == 4
    assert prompt.count("=== system ===") == 1


async def test_a_failed_call_is_recorded_with_its_error(tmp_path: Path) -> None:
    """A call that nobody answered leaves its request and the reason."""
    case = Case(tmp_path, ModelLostError("gone"))
    await case.run(worker())
    (only,) = [json.loads(line) for line in case.artifact("llm_calls.jsonl").splitlines()]
    assert (only["reply"], only["error"]) == (None, "model_lost: gone")


@pytest.mark.parametrize(
    ("error", "outcome", "fault"),
    [
        (ModelLostError("gone"), LoopOutcome.SERVER_LOST, True),
        (ModelTimeoutError("late"), LoopOutcome.TIMEOUT, False),
        (ModelRefusedError("too long"), LoopOutcome.REFUSED, False),
        (ModelOutputError("odd"), LoopOutcome.SERVER_LOST, True),
        (ModelChangedError("another"), LoopOutcome.SERVER_LOST, True),
    ],
)
async def test_each_error_of_the_model_has_its_outcome(
    tmp_path: Path, error: ModelError, outcome: LoopOutcome, fault: bool
) -> None:
    """What the server did decides the outcome, and whether the server is to blame."""
    result = await Case(tmp_path, error).run(worker())
    assert (result.outcome, result.server_fault, result.cause) == (outcome, fault, error.message)
    assert (result.output, result.operations) == (None, ())


async def test_the_first_draw_is_reproducible_and_later_ones_differ(tmp_path: Path) -> None:
    """Attempt 1 draws as the agent says; a failed step or attempt raises temperature and seed, within bounds."""
    case = Case(tmp_path, Spoken("garbage"))
    for attempt in (1, 2, 9):
        await case.run(worker(max_failures=1), attempt)
    drawn = [(r.sampling.temperature, r.sampling.seed) for r in case.model.requests]
    assert drawn[0] == (0.0, 1)
    assert drawn[0] < drawn[1] < drawn[2] < drawn[3]
    assert len(set(drawn)) == len(drawn)
    assert max(temperature for temperature, _ in drawn) <= 1.0


async def test_an_output_that_cannot_be_applied_goes_back(tmp_path: Path) -> None:
    """A refused output costs a failure; every write that happened is an operation, in order, so that replay agrees."""
    apply = (
        {"tool": "write", "args": {"word": "$output.word"}},
        {"tool": "look", "args": {"path": "$output.place"}},
    )
    good = Spoken('{"finalize": {"word": "y", "place": "a.md"}}')
    case = Case(tmp_path, DONE, good)
    result = await case.run(worker(apply))
    assert result.outcome is LoopOutcome.FINALIZED
    assert "$output.place names nothing" in case.last_turns()[1]
    assert case.tree.read_bytes("a.md") == b"y"
    assert [operation.args["word"] for operation in result.operations] == ["x", "y"]


async def test_a_tool_that_hangs_is_given_up(tmp_path: Path) -> None:
    """A tool past its time is an error for the model, not the end of the night."""
    release = threading.Event()

    def hang(args: Args, context: ToolContext) -> ToolResult:
        release.wait(20)
        return ToolResult(text="too late")

    case = Case(tmp_path, call("look"), DONE)
    case.tools = (tool("look", hang, timeout_s=0.05), *TOOLS[1:])
    try:
        result = await case.run(worker())
    finally:
        release.set()
    assert result.outcome is LoopOutcome.FINALIZED
    assert "look did not finish within 0.05 s" in case.last_turns()[1]
    assert "too late" not in case.artifact("tool_calls.jsonl")


async def test_the_loops_own_time_is_kept_between_calls(tmp_path: Path) -> None:
    """Time spent in tools counts: once the agent's time is over no further call is made."""

    def slow(args: Args, context: ToolContext) -> ToolResult:
        case.clock.advance(100)
        return ToolResult(text="slow")

    case = Case(tmp_path, call("look"))
    case.tools = (tool("look", slow), *TOOLS[1:])
    result = await case.run(worker(timeout_s=150))
    assert result.outcome is LoopOutcome.TIMEOUT
    assert len(case.model.requests) == 2
    assert "150 s" in result.cause


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_tool_that_was_given_up_cannot_write_any_more(tmp_path: Path, cancelled: bool) -> None:
    """The thread of a tool past its time, or of a cancelled attempt, finds its work tree taken back."""
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()
    refused: list[str] = []

    def late(args: Args, context: ToolContext) -> ToolResult:
        begun.set()
        release.wait(20)
        try:
            context.files.write_bytes("a.md", b"late")
        except ToolError as error:
            refused.append(error.message)
        finally:
            ended.set()
        return ToolResult(text="written", changed=("a.md",))

    case = Case(tmp_path, call("look"), DONE)
    case.tools = (tool("look", late, writes=True, timeout_s=20 if cancelled else 0.3), *TOOLS[1:])
    async with asyncio.TaskGroup() as group:
        running = group.create_task(case.run(worker()), name="loop")
        assert await asyncio.to_thread(begun.wait, 20)
        if cancelled:
            running.cancel()
    assert running.cancelled() if cancelled else running.result().operations == ()
    release.set()
    assert await asyncio.to_thread(ended.wait, 20)
    assert refused
    assert case.tree.read_bytes("a.md") == b"old"


async def test_a_remedied_failure_is_no_cause(tmp_path: Path) -> None:
    """Where the model found its way back and then spent its budget, the budget is the cause."""
    said = [replace(call(name), completion_tokens=16) for name in ("fail", "look")]
    case = Case(tmp_path, *said)
    result = await case.run(worker(max_failures=9, max_steps=9, max_tokens=32, step_tokens=16))
    assert (result.outcome, result.cause) == (LoopOutcome.BUDGET, "ended by budget")


@pytest.mark.parametrize("args", [{"path": "$input.gone"}, {"path": 3}], ids=["unknown", "wrong"])
async def test_a_refused_prefetch_names_its_tool(args: dict[str, Any], tmp_path: Path) -> None:
    """A declared call that cannot be made ends the loop before a model is asked, whatever was wrong with it."""
    case = Case(tmp_path, DONE)
    result = await case.run(worker(prefetch=({"tool": "look", "args": args},)))
    assert (result.outcome, result.cause.startswith("look: ")) == (LoopOutcome.REFUSED, True)
    assert case.model.requests == []


async def test_a_cancelled_loop_says_so(tmp_path: Path) -> None:
    """A loop that is called off names that ending in its evidence, and the cancellation goes on."""
    case = Case(tmp_path, call("look"), Spoken("", delay_s=3_600))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(case.run(worker()), name="loop")
        while len(case.model.requests) < 2:  # noqa: ASYNC110 - a fake tells nobody
            await asyncio.sleep(0.001)
        running.cancel()
    assert running.cancelled()
    assert case.artifact("stderr.log") == "the loop ended in step 2: cancelled\n"
    assert case.evidence.tally.steps == 2
    assert case.artifact("llm_prompt.txt").count("##### call") == 2
    calls = [json.loads(line) for line in case.artifact("llm_calls.jsonl").splitlines()]
    assert [one["error"] for one in calls] == [None, "cancelled"]


async def test_a_tool_call_that_was_cut_is_recorded(tmp_path: Path) -> None:
    """A cancellation in the middle of a tool call leaves the call in the evidence, with what cut it."""
    begun, release = threading.Event(), threading.Event()

    def hang(args: Args, context: ToolContext) -> ToolResult:
        begun.set()
        release.wait(20)
        return ToolResult(text="too late")

    case = Case(tmp_path, call("look"), DONE)
    case.tools = (tool("look", hang), *TOOLS[1:])
    async with asyncio.TaskGroup() as group:
        running = group.create_task(case.run(worker()), name="loop")
        assert await asyncio.to_thread(begun.wait, 20)
        running.cancel()
    release.set()
    assert running.cancelled()
    (recorded,) = [json.loads(line) for line in case.artifact("tool_calls.jsonl").splitlines()]
    assert recorded["tool"] == "look"
    assert "cancelled" in json.dumps(recorded)
