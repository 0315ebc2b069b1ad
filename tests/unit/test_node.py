"""A reviewer's node: what it is shown, and what happens where it cannot be shown anything."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from pantheon.core.agent import Agent, AgentSpec
from pantheon.core.flow import Flow
from pantheon.core.records import AttemptOutcome
from pantheon.engine.evidence import Evidence
from pantheon.engine.gatekeeper import Gatekeeper
from pantheon.engine.node import NodeExecutor
from pantheon.engine.results import NodeResult
from pantheon.testing.artifacts import FakeSink
from pantheon.testing.model import FakeModel, Spoken
from pantheon.testing.one_node import only_node, services_around
from pantheon.testing.repository import FakeRepository
from pantheon.testing.signing import inline_ledger
from pantheon.tools.notes import NOTE_TOOLS
from pantheon.tools.registry import Registry

PROMPT = "{% block system %}s{% endblock %}{% block question %}q{% endblock %}"
NOTE = "queues and retries\n\nWe compared retries with dead letter queues for the order service.\n"
FLOW = Flow.model_validate({"name": "f", "accepts": ["f"], "node": [{"id": "review", "agent": "peer"}]})


def with_title(title: str, body: str = "Something else.\n") -> bytes:
    """A note that has metadata."""
    head = {"title": title, "description": f"About {title} and what follows from it.", "tags": ["one", "two"]}
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in head.items())
    return f"---\n{lines}---\n{body}".encode()


async def review(
    files: Mapping[str, bytes], *prefetch: Mapping[str, Any], decoys: int = 1
) -> tuple[NodeResult, FakeSink]:
    """Review a proposal for ``a.md`` beside other files."""
    spec = AgentSpec.model_validate(
        {
            "name": "peer",
            "version": "1",
            "role": "reviewer",
            "runtime": {"origin": "local"},
            "prefetch": prefetch,
            "question": [{"id": "t", "field": "title", "text": "Which?", "floor": 0.0, "decoys": decoys}],
        }
    )
    repository = FakeRepository({"a.md": NOTE.encode(), **files})
    head = repository.add(
        {"a.md": with_title("Retries and Dead Letter Queues", NOTE), **files}, (repository.head,), "change\n"
    )
    services = services_around(
        repository,
        agents={"peer": Agent(spec=spec, prompt=PROMPT, digest="0" * 64)},
        flows={"f": FLOW},
        open_ledger=inline_ledger("n", repository.head, ("peer",)),
        model=FakeModel(lambda _: Spoken("A", top=(("A", -0.1), ("B", -3.0)))),
        tools=Registry(NOTE_TOOLS),
    )
    context = only_node(FLOW, base=repository.head, head=head, targets=("a.md",))
    sink = FakeSink("attempt")
    return await NodeExecutor(services, Gatekeeper(services))(context, Evidence(sink)), sink


@pytest.mark.parametrize(
    "call",
    [
        {"tool": "read_note", "args": {"path": "gone.md"}},
        {"tool": "read_note", "args": {"path": "$input.gone"}},
        {"tool": "nonsense", "args": {}},
    ],
    ids=["refused", "unresolved", "unknown"],
)
async def test_a_refused_prefetch_fails_the_review(call: Mapping[str, Any]) -> None:
    """A declared call that cannot be made is a failed review that names the tool, not an error of the night."""
    result, sink = await review({}, call)
    assert result.outcome is AttemptOutcome.FAILED
    assert result.cause.startswith(f"{call['tool']}: ")
    assert result.agent == "peer@1"
    assert "llm_calls.jsonl" not in sink.files


@pytest.mark.parametrize("name", ["other.md", "other.MD", "other.markdown", "deep/Other.Markdown"])
async def test_every_kind_of_note_is_a_neighbour(name: str) -> None:
    """Other notes lend their titles as decoys, however their names end."""
    result, _ = await review({name: with_title("Gardening Through the Seasons")})
    assert result.output is not None
    assert [one["decoy"] for one in result.output["questions"]] == ["Gardening Through the Seasons"]


async def test_what_is_no_note_is_no_neighbour() -> None:
    """Other files lend nothing, even where they look like notes inside."""
    result, _ = await review({"other.txt": with_title("Gardening Through the Seasons")})
    assert result.output is not None
    assert result.output["questions"] == []
    assert result.output["verdict"] == "fail"
