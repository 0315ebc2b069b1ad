"""Canaries in a whole night: who passes them, what lands on whose word, and what a restart finds."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pantheon.core.canaries import CanaryPolicy, CanaryResult, judge_standing
from pantheon.core.notes.textcheck import normalise_tags
from pantheon.testing.night import Bench, NoteScript, opened, proposal
from pantheon.testing.scripted_model import Answer, Reply, Say
from pantheon.testing.user_repository import git, make_repository

SUBJECTS = (
    ("queues", "Retries versus Dead Letter Queues", "retries", "dead letter queues for the order service"),
    ("caches", "Invalidating the Catalogue Cache", "invalidation", "lifetimes of the catalogue cache"),
    ("indexes", "A Composite Index for the Report", "composite", "single indexes for the monthly report"),
)
FILES = {
    f"docs/2026.01.0{place}.md": f"{word} as said\n\n{title}: {one} against {other}, compared at length.\n".encode()
    for place, (word, title, one, other) in enumerate(SUBJECTS, start=1)
}
PROPOSALS = {
    word: proposal(word, title, f"Compares {one} against {other} at length.", word, one, other.split()[-1])
    for word, title, one, other in SUBJECTS
}
PEERS = ("review.peerA", "review.peerB")


@dataclass
class Approver(NoteScript):
    """A model that prefers whatever is proposed, right or wrong, in both orders."""

    only: str = ""
    """What a question must hold to be answered so; any when empty."""
    seen: dict[tuple[str, ...], int] = field(default_factory=dict)

    def __call__(self, body: Mapping[str, Any]) -> Reply:
        turn = str(body["messages"][-1]["content"])
        question = turn.rpartition("</note>")[2]
        if "\nA: " not in question or self.only not in question:
            return super().__call__(body)
        rest = question.partition("\nA: ")[2]
        first, _, second = rest.partition("\nB: ")
        pair = (turn.rpartition("</note>")[0][-200:], *sorted((first, second.partition("\n")[0])))
        self.seen[pair] = self.seen.get(pair, 0) + 1
        # The two orders of a comparison follow each other: the proposal stands first, then second.
        right, wrong = ("A", "B") if self.seen[pair] % 2 else ("B", "A")
        return Say(right, finish_reason="length", logprobs={right: -0.05, wrong: -3.0})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "user", FILES)


def with_policy(bench: Bench, policy: CanaryPolicy) -> None:
    """Have the night plant canaries by this policy."""
    content = bench.services.content
    gate = content.gate_policy.model_copy(update={"canaries": policy})
    bench.services = replace(bench.services, content=replace(content, gate_policy=gate))


async def canaries_of(bench: Bench, night: str = "n1") -> list[CanaryResult]:
    """Return the canaries as the store has them."""
    attempts = await bench.store.attempts(night)
    return [
        CanaryResult.model_validate(one)
        for attempt in attempts
        if attempt.result is not None
        for one in attempt.result.metrics.get("canaries", ())
    ]


def in_ledger(tmp_path: Path, night: str = "n1") -> list[Mapping[str, Any]]:
    """Return the predicates of the canaries in the night's ledger."""
    found = []
    for line in (tmp_path / "artifacts" / night / "ledger.jsonl").read_bytes().splitlines():
        statement = json.loads(base64.b64decode(json.loads(line)["payload"]))
        if statement["predicateType"].endswith("/canary/v1"):
            found.append(statement["predicate"])
    return found


async def test_reviewers_that_see_something_pass_no_canary(root: Path, tmp_path: Path) -> None:
    """Each reviewer meets the minimum, passes none, and the real changes land."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        summary = await bench.night(sorted(FILES))
        assert summary.outcomes == {"accepted": 3}, [task.cause for task in summary.tasks]
        results = await canaries_of(bench)
    for peer in PEERS:
        standing = judge_standing(CanaryPolicy(), peer, results)
        assert (standing.measured, standing.accepted, standing.missed) == (5, 0, 0)
    assert len(in_ledger(tmp_path)) == 10
    titles = git(root, "log", "--format=%s", "main..pantheon/night-n1")
    assert titles.count("docops: ") == 3


@pytest.mark.parametrize("only", ["", "Which title"])
async def test_who_passes_everything_lets_nothing_merge(root: Path, tmp_path: Path, only: str) -> None:
    """One reviewer that always approves is caught at once, and what it passed waits for a person."""
    script = Approver(PROPOSALS, only=only)
    async with opened(root, tmp_path, script) as bench:
        with_policy(bench, CanaryPolicy(rate=0, minimum=0))
        control = await bench.night(sorted(FILES), night="n0")
        assert control.outcomes == {"accepted": 3}, "the control: without canaries it all lands"
        with_policy(bench, CanaryPolicy())
        summary = await bench.night(sorted(FILES), batch="c" * 12)
        assert summary.outcomes == {"denied": 3}
        assert all("review.peerA: disqualified: it passed" in task.cause for task in summary.tasks)
        results = await canaries_of(bench)
    assert judge_standing(CanaryPolicy(), "review.peerA", results).disqualified
    assert judge_standing(CanaryPolicy(), "review.peerB", results).disqualified is not bool(only)
    assert "n1" not in git(root, "branch", "--list", "pantheon/*")


async def test_a_canary_looks_like_work(root: Path, tmp_path: Path) -> None:
    """Nothing that the model is shown tells a canary from a real change: same words, same shape, same note."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        await bench.night(sorted(FILES)[:1])
        requests = [json.dumps(one) for one in bench.server.requests]
    assert not any("canar" in one.lower() for one in requests)
    asked = [one for one in bench.server.requests if "\nA: " in one["messages"][-1]["content"]]
    shapes = {
        (
            len(one["messages"]),
            *(value for key, value in sorted(one.items()) if key in ("temperature", "max_tokens", "seed")),
            one["messages"][-1]["content"].partition("\nA: ")[0],
        )
        for one in asked
    }
    questions = {shape[-1] for shape in shapes}
    assert len(shapes) == len(questions) == 3, "title, description and tags"
    assert len(asked) == 6 * (6 + 6), "five canaries and the change, twelve questions each"


async def test_a_server_error_is_no_rejection(root: Path, tmp_path: Path) -> None:
    """Where every canary meets an error it is not measured, and the last changes do not land on such a word."""
    script = NoteScript(PROPOSALS)
    own = {
        text
        for one in PROPOSALS.values()
        for text in (one["title"], one["description"], ", ".join(normalise_tags(one["tags"])))
    }

    def broken(body: Mapping[str, Any]) -> Reply:
        question = str(body["messages"][-1]["content"]).rpartition("</note>")[2]
        if "\nA: " in question and not any(text in question for text in own):
            return Answer(400, b'{"error": {"message": "broken"}}')
        return script(body)

    async with opened(root, tmp_path, broken) as bench:
        summary = await bench.night(sorted(FILES))
        results = await canaries_of(bench)
    for peer in PEERS:
        standing = judge_standing(CanaryPolicy(), peer, results)
        assert standing.measured == 0 and standing.missed >= 5 and not standing.disqualified
    assert "denied" in summary.outcomes
    assert any("not measured: 0 of at least 5" in task.cause for task in summary.tasks)
    assert all(one.cause for one in results)


async def test_without_material_the_gate_stays_shut(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no known-bad change can be made the minimum cannot be met: the records say so and nothing lands."""
    monkeypatch.setattr("pantheon.engine.canaries.make_canary", lambda *_, **__: None)
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        summary = await bench.night(sorted(FILES)[:1])
        results = await canaries_of(bench)
    assert summary.outcomes == {"denied": 1}
    assert {one.cause for one in results} == {"no known-bad change could be made of this one"}
    assert {one.kind for one in results} == {""}


async def test_a_resumed_night_neither_repeats_nor_loses_canaries(root: Path, tmp_path: Path) -> None:
    """Stopped in the middle and run again, each canary is there once and each reviewer has its minimum."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:

        def watch(step: Any) -> None:
            if step.node.startswith("review.") and step.event == "succeeded":
                bench.stopping.set()

        bench.watch = watch
        first = await bench.night(sorted(FILES))
        assert first.left_open
        before = in_ledger(tmp_path)
        assert before
        bench.watch = lambda _: None
        bench.stopping.clear()
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        summary = await bench.night(sorted(FILES))
        assert summary.outcomes == {"accepted": 3}, [task.cause for task in summary.tasks]
        results = await canaries_of(bench)
    after = in_ledger(tmp_path)
    assert after[: len(before)] == before
    names = [(one["reviewer"], one["task"], one["number"]) for one in after]
    assert len(set(names)) == len(names) == 10
    for peer in PEERS:
        assert judge_standing(CanaryPolicy(), peer, results).measured == 5
