"""A model that never ends: endless calls, endless talk, thousands of calls at once. The budget ends it and says so."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.artifacts import ArtifactFolder
from pantheon.adapters.bounded_reply import MAX_REPLY_BYTES
from pantheon.adapters.clock import SystemClock
from pantheon.adapters.content import load_folders, shipped_content
from pantheon.adapters.http_model import HttpModelClient
from pantheon.core.agent import Agent, load_agent
from pantheon.core.loop import LoopOutcome
from pantheon.core.task import Task
from pantheon.engine.agent_loop import AgentLoop, LoopResult
from pantheon.engine.evidence import Evidence
from pantheon.testing.scripted_model import Raw, Reply, Say, ScriptedServer, serve_script
from pantheon.testing.tree import FakeTree
from pantheon.tools.notes import NOTE_TOOLS
from pantheon.tools.registry import Registry, ToolContext

NOTE = b"queues\n\nWe compared retries with dead letter queues for the order service.\n"
LOOK = json.dumps({"tool": "list_neighbours", "args": {"path": "docs/a.md"}})
PIECE = b'data: {"choices": [{"delta": {"content": "and so on "}}]}\n\n'


def endless_agent(**limits: int) -> Agent:
    """The shipped archivist with other limits."""
    agent = load_agent("doc.frontmatter", load_folders(shipped_content() / "agents")["doc.frontmatter"])
    own = agent.spec.limits.model_copy(update=limits)
    return agent.model_copy(update={"spec": agent.spec.model_copy(update={"limits": own})})


class Attack:
    """One attempt against a model that misbehaves."""

    def __init__(self, tmp_path: Path, reply: Reply, **limits: int) -> None:
        self.folder = tmp_path
        self.reply = reply
        self.agent = endless_agent(**limits)
        self.tree = FakeTree({"docs/a.md": NOTE})
        self.server: ScriptedServer

    async def run(self) -> LoopResult:
        """Let the agent work until it ends."""
        task = Task(id="t", kind="docops", goal="g", targets=("docs/a.md",))
        sink = await ArtifactFolder(self.folder / "artifacts").open_attempt("n", "b/t", "doc.frontmatter", 1)
        socket = self.folder / "s.sock"

        def script(_: Mapping[str, Any]) -> Reply:
            return self.reply

        async with (
            serve_script(script, socket) as self.server,
            HttpModelClient("t", base_url="http://localhost", uds=str(socket)) as client,
        ):
            loop = AgentLoop(
                agent=self.agent, task=task, attempt=1, client=client, tools=Registry(NOTE_TOOLS),
                context=ToolContext(files=self.tree, task=task, tree_paths=self.tree.list_files()),
                evidence=Evidence(sink), clock=SystemClock(),
            )  # fmt: skip
            return await loop.run()

    def artifact(self, name: str) -> str:
        """Return what the attempt left under a name."""
        return (self.folder / "artifacts/n/b-t/doc.frontmatter/001" / name).read_text(encoding="utf-8")


async def test_endless_tool_calls_end_at_the_step_limit(tmp_path: Path) -> None:
    """The model asks for a tool for ever; each call by itself is a good one (the control)."""
    attack = Attack(tmp_path, Say(LOOK), max_steps=5, max_failures=99)
    result = await attack.run()
    assert result.outcome is LoopOutcome.MAX_STEPS and result.output is None
    assert len(attack.server.requests) == 5
    calls = [json.loads(line) for line in attack.artifact("tool_calls.jsonl").splitlines()]
    assert all(call["ok"] for call in calls) and len(calls) == 1 + 4, (
        "the control: the calls were carried out"
    )


async def test_endless_talk_ends_at_the_byte_limit(tmp_path: Path) -> None:
    """A stream that never stops, of good pieces; a short one of them is read (the control)."""
    short = Attack(
        tmp_path / "short",
        Raw(PIECE * 3 + b'data: {"choices": [{"finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'),
    )
    short.folder.mkdir()
    result = await short.run()
    assert "and so on and so on" in short.artifact("llm_calls.jsonl"), "the control"
    assert result.outcome is LoopOutcome.MAX_FAILURES
    attack = Attack(tmp_path, Raw(PIECE * (MAX_REPLY_BYTES // len(PIECE) + 1_000), hang=True))
    began = time.monotonic()
    result = await attack.run()
    assert result.outcome is LoopOutcome.SERVER_LOST and "more than" in result.cause, (
        "a server that does not keep to the tokens it was asked for"
    )
    assert time.monotonic() - began < 20
    assert "more than" in attack.artifact("llm_calls.jsonl")


async def test_slow_endless_talk_ends_at_the_deadline(tmp_path: Path) -> None:
    """A token now and then, for ever."""
    attack = Attack(tmp_path, Say("a " * 100_000, delay_s=0.02), call_timeout_s=1)
    began = time.monotonic()
    result = await attack.run()
    assert result.outcome is LoopOutcome.TIMEOUT and result.output is None
    assert time.monotonic() - began < 10
    assert "did not finish within" in attack.artifact("llm_calls.jsonl")


@pytest.mark.parametrize("count", [100, 10_000])
@pytest.mark.parametrize(
    "text",
    [lambda n: LOOK * n, lambda n: "[" + ",".join([LOOK] * n) + "]", lambda n: "\n".join([LOOK] * n),
     lambda n: json.dumps({"tool": "list_neighbours", "args": {"path": ["docs/a.md"] * n}}),
     lambda n: json.dumps({"tool": "list_neighbours", "args": {f"path{i}": "docs/a.md" for i in range(n)}})],
)  # fmt: skip
async def test_ten_thousand_calls_in_one_reply_are_none(
    tmp_path: Path, text: Callable[[int], str], count: int
) -> None:
    """Side by side, in a list, line by line, inside one: not one of them is carried out, and the failures run out.

    What a server may send at all is read; more than that ends the answer.
    """
    attack = Attack(tmp_path, Say(text(count)), max_failures=1, max_steps=9)
    result = await attack.run()
    if count > 100:
        assert result.outcome is LoopOutcome.SERVER_LOST and "more than" in result.cause
    else:
        assert result.outcome in (LoopOutcome.MAX_FAILURES, LoopOutcome.BUDGET)
    assert len(attack.server.requests) <= 2
    calls = [json.loads(line) for line in attack.artifact("tool_calls.jsonl").splitlines()]
    assert [call["tool"] for call in calls if call["ok"]] == ["read_note"]
    assert len(attack.artifact("tool_calls.jsonl")) < 2_000_000


async def test_many_tokens_end_at_the_token_budget(tmp_path: Path) -> None:
    """A server that counts more tokens than the task may have."""
    attack = Attack(tmp_path, Say(LOOK), max_tokens=20, max_steps=99, max_failures=99)
    result = await attack.run()
    assert result.outcome is LoopOutcome.BUDGET
    assert len(attack.server.requests) < 99
