"""A night whose agents have openings of their own, on a server that can keep one of them: they meet."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pantheon.core import dispatch
from pantheon.core.agent import load_agent
from pantheon.core.flow import load_flow
from pantheon.core.task import Task
from pantheon.testing import describe
from pantheon.testing.night import opened
from pantheon.testing.scripted_model import Reply, Say
from pantheon.testing.user_repository import make_repository

AGENTS = ("bench.first", "bench.second")
EACH = 9


class OneOpening:
    """A server whose cache holds one opening."""

    def __init__(self) -> None:
        self.kept = ""
        self.computed = 0

    def __call__(self, body: Mapping[str, Any]) -> Reply:
        opening = body["messages"][0]["content"]
        self.computed += opening != self.kept
        self.kept = opening
        return Say(json.dumps({"finalize": {"text": "x" * 310}}))


async def computed_openings(tmp_path: Path) -> int:
    """Work both agents' tasks, each agent's in a package of its own; returns how often an opening was computed."""
    server = OneOpening()
    names = [f"docs/{agent}-{number}.md" for agent in AGENTS for number in range(EACH)]
    root = await asyncio.to_thread(make_repository, tmp_path / "user", dict.fromkeys(names, b"a note\n"))
    async with opened(root, tmp_path, server) as bench:
        prompts = {
            name: {
                file: data.replace(b"You describe", f"You, {name}, describe".encode())
                for file, data in describe.agent_files(name).items()
            }
            for name in AGENTS
        }
        flows = [load_flow(f"{name}.toml", describe.flow_file(name, name)) for name in AGENTS]
        content = replace(
            bench.services.content,
            agents={name: load_agent(name, files) for name, files in prompts.items()},
            flows={flow.name: flow for flow in flows},
        )
        bench.services = replace(bench.services, content=content)
        tasks = [
            Task(id=Path(name).stem, kind=agent, goal="describe", package=agent, targets=(name,))
            for name in names
            for agent in AGENTS
            if agent in name
        ]
        summary = await bench.work(tasks)
    assert summary.outcomes == {"accepted": len(tasks)}, [task.cause for task in summary.tasks]
    return server.computed


async def test_calls_that_share_an_opening_meet(tmp_path: Path) -> None:
    """Eighteen calls of two agents that take turns compute their openings a few times."""
    assert await computed_openings(tmp_path) <= 6


async def test_turns_alone_never_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: in the order of urgency alone nearly every call computes its opening anew."""
    monkeypatch.setattr(dispatch, "MAX_TOGETHER", 0)
    assert await computed_openings(tmp_path) >= 12
