"""Canaries in a whole night: who passes them, what lands on whose word, and what a restart finds."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.artifact_reader import FolderEvidence
from pantheon.core.canaries import CanaryPolicy, CanaryResult, judge_standing, plan_canaries
from pantheon.core.notes.textcheck import normalise_tags
from pantheon.core.taken_back import UNDO_EVENT
from pantheon.report.html import render_html
from pantheon.report.read_model import build_report
from pantheon.testing.night import Bench, NoteScript, opened, proposal
from pantheon.testing.scripted_model import Answer, Reply, Say
from pantheon.testing.user_repository import git, make_repository

SUBJECTS = (
    ("queues", "Retries versus Dead Letter Queues", "retries", "dead letter queues for the order service"),
    ("caches", "Invalidating the Catalogue Cache", "invalidation", "lifetimes of the catalogue cache"),
    ("indexes", "A Composite Index for the Report", "composite", "single indexes for the monthly report"),
)
FILES = {
    f"docs/2026.01.0{place}.md": f"{word} as said\n\n{one} against {other}, compared at length.\n".encode()
    for place, (word, _, one, other) in enumerate(SUBJECTS, start=1)
}
PROPOSALS = {
    word: proposal(word, title, f"Compares {one} against {other} at length.", word, one, other.split()[-1])
    for word, title, one, other in SUBJECTS
}
FEW = CanaryPolicy(rate=0, minimum=2)
PEERS = ("review.peerA", "review.peerB")


@dataclass
class Approver(NoteScript):
    """A model that prefers whatever is proposed, right or wrong, in both orders."""

    honest: str = "\0"
    """What a question holds that is answered for what fits."""
    seen: dict[tuple[str, ...], str] = field(default_factory=dict)

    def __call__(self, body: Mapping[str, Any]) -> Reply:
        turn = str(body["messages"][-1]["content"])
        question = turn.rpartition("</note>")[2]
        opening = json.dumps(body["messages"][:-1])
        if "\nA: " not in question or self.honest in question.partition("\nA: ")[0]:
            return super().__call__(body)
        rest = question.partition("\nA: ")[2]
        first, _, second = rest.partition("\nB: ")
        pair = (opening, turn.rpartition("</note>")[0], *sorted((first, second.partition("\n")[0])))
        # The first order of a comparison has the proposal first.
        right, wrong = ("A", "B") if self.seen.setdefault(pair, first) == first else ("B", "A")
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
    async with opened(root, tmp_path, NoteScript(PROPOSALS), canaries=CanaryPolicy()) as bench:
        summary = await bench.night(sorted(FILES))
        assert summary.outcomes == {"accepted": 3}, [task.cause for task in summary.tasks]
        results = await canaries_of(bench)
        report = await build_report(bench.store, FolderEvidence(tmp_path / "artifacts"))
    for peer in PEERS:
        standing = judge_standing(CanaryPolicy(), peer, results)
        assert (standing.measured, standing.accepted, standing.missed) == (5, 0, 0)
    assert len(in_ledger(tmp_path)) == 10
    titles = git(root, "log", "--format=%s", "main..pantheon/night-n1")
    assert titles.count("docops: ") == 3
    assert report.sentence == "All 3 changes were accepted."
    assert [(one.reviewer, one.false_accept.hits, one.false_accept.total) for one in report.canaries] == [
        (peer, 0, 5) for peer in PEERS
    ]
    assert all(0.4 < one.false_accept.high < 0.5 for one in report.canaries)
    assert not any("canar" in f"{need.title} {need.why}".lower() for need in report.needs)
    page = render_html(report)
    assert b"<h3>Canaries</h3>" in page
    assert b"disqualified" not in page


@pytest.mark.parametrize("honest", ["\0", "tags"])
async def test_who_passes_everything_lets_nothing_merge(root: Path, tmp_path: Path, honest: str) -> None:
    """One reviewer that always approves is caught at once, also beside one that sees tags, and nothing lands."""
    script = Approver(PROPOSALS, honest=honest)
    async with opened(root, tmp_path, script, canaries=CanaryPolicy()) as bench:
        with_policy(bench, CanaryPolicy(rate=0, minimum=0))
        control = await bench.night(sorted(FILES)[:1], night="n0")
        assert control.outcomes == {"accepted": 1}, [task.cause for task in control.tasks]
        with_policy(bench, FEW)
        summary = await bench.night(sorted(FILES)[:2], batch="c" * 12)
        assert summary.outcomes == {"denied": 2}
        assert all("review.peerA: disqualified: it passed" in task.cause for task in summary.tasks)
        results = await canaries_of(bench)
    assert judge_standing(CanaryPolicy(), "review.peerA", results).disqualified
    assert judge_standing(CanaryPolicy(), "review.peerB", results).disqualified is (honest != "tags")
    assert "n1" not in git(root, "branch", "--list", "pantheon/*")


@pytest.mark.parametrize(("lands", "calls"), [(True, 10), (False, 4)])
async def test_a_canary_looks_like_work(root: Path, tmp_path: Path, lands: bool, calls: int) -> None:
    """Nothing that the model is shown tells a canary from a real change: same words, same note, and as many questions
    as a real change gets that fails."""
    script = NoteScript(PROPOSALS, prefers=lambda _: lands)
    async with opened(root, tmp_path, script, canaries=FEW) as bench:
        summary = await bench.night(sorted(FILES)[:1])
        requests = [json.dumps(one) for one in bench.server.requests]
    assert summary.outcomes == {"accepted" if lands else "denied": 1}
    assert not any("canar" in one.lower() for one in requests)
    asked = [one for one in bench.server.requests if "\nA: " in one["messages"][-1]["content"]]
    own = owned_texts(PROPOSALS["queues"])
    real = [one for one in asked if any(text in question_of(one) for text in own)]
    canaries = [one for one in asked if one not in real]
    assert len(real) == calls
    assert len(canaries) == 8, "two canaries, two reviewers, each with its first comparison in both orders"
    assert {shape_of(one) for one in canaries} <= {shape_of(one) for one in real}


def owned_texts(known: Mapping[str, Any]) -> set[str]:
    """Return the texts that a right proposal is put before a reviewer with."""
    return {known["title"], known["description"], ", ".join(normalise_tags(known["tags"]))}


def question_of(body: Mapping[str, Any]) -> str:
    """Return what comes after the note in the last turn."""
    return str(body["messages"][-1]["content"]).rpartition("</note>")[2]


def shape_of(body: Mapping[str, Any]) -> str:
    """Return a request without the two texts that are compared."""
    last = body["messages"][-1]
    cut = {**last, "content": last["content"].partition("\nA: ")[0]}
    return json.dumps({**body, "messages": [*body["messages"][:-1], cut]}, sort_keys=True)


async def test_a_server_error_is_no_rejection(root: Path, tmp_path: Path) -> None:
    """Where every canary meets an error it is not measured, and the last changes do not land on such a word."""
    script = NoteScript(PROPOSALS)
    own = set[str]().union(*map(owned_texts, PROPOSALS.values()))

    def broken(body: Mapping[str, Any]) -> Reply:
        question = question_of(body)
        if "\nA: " in question and not any(text in question for text in own):
            return Answer(400, b'{"error": {"message": "broken"}}')
        return script(body)

    async with opened(root, tmp_path, broken, canaries=FEW) as bench:
        summary = await bench.night(sorted(FILES)[:2])
        results = await canaries_of(bench)
    for peer in PEERS:
        standing = judge_standing(FEW, peer, results)
        assert standing.measured == 0 and standing.missed >= 2 and not standing.disqualified
    assert "denied" in summary.outcomes
    assert any("not measured: 0 of at least 2" in task.cause for task in summary.tasks)
    assert all(one.cause for one in results)


async def test_canaries_take_no_time_from_the_real_review(root: Path, tmp_path: Path) -> None:
    """A server that hangs over canaries keeps no review from its verdict: they are not measured, and nothing lands."""
    script = NoteScript(PROPOSALS)
    own = owned_texts(PROPOSALS["queues"])

    def slow(body: Mapping[str, Any]) -> Reply:
        reply = script(body)
        question = question_of(body)
        if "\nA: " in question and not any(text in question for text in own):
            assert isinstance(reply, Say)
            return replace(reply, delay_s=30.0)
        return reply

    async with opened(root, tmp_path, slow, canaries=FEW) as bench:
        content = bench.services.content
        flow = content.flows["docops"]
        short = tuple(
            node.model_copy(update={"timeout_s": 1}) if (node.agent or "") in PEERS else node
            for node in flow.node
        )
        flows = {"docops": flow.model_copy(update={"node": short})}
        bench.services = replace(bench.services, content=replace(content, flows=flows))
        summary = await bench.night(sorted(FILES)[:1])
        states = {node.node: node.state for node in await bench.store.nodes("n1")}
        results = await canaries_of(bench)
    assert [states[peer] for peer in PEERS] == ["succeeded", "succeeded"]
    assert {one.cause for one in results} == {"there was no time left for it"}
    assert summary.outcomes == {"denied": 1}
    assert "not measured: 0 of at least 2" in summary.tasks[0].cause


async def test_without_material_the_gate_stays_shut(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no known-bad change can be made the minimum cannot be met: the records say so and nothing lands."""
    monkeypatch.setattr("pantheon.engine.canaries.make_canary", lambda *_, **__: None)
    async with opened(root, tmp_path, NoteScript(PROPOSALS), canaries=FEW) as bench:
        summary = await bench.night(sorted(FILES)[:1])
        results = await canaries_of(bench)
    assert summary.outcomes == {"denied": 1}
    assert {one.cause for one in results} == {"no known-bad change could be made of this one"}
    assert {one.kind for one in results} == {""}


async def test_a_resumed_night_neither_repeats_nor_loses_canaries(root: Path, tmp_path: Path) -> None:
    """Stopped in the middle and run again, each canary is there once and each reviewer has its minimum."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS), canaries=FEW) as bench:

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
    async with opened(root, tmp_path, NoteScript(PROPOSALS), canaries=FEW) as bench:
        summary = await bench.night(sorted(FILES))
        assert summary.outcomes == {"accepted": 3}, [task.cause for task in summary.tasks]
        results = await canaries_of(bench)
    after = in_ledger(tmp_path)
    assert after[: len(before)] == before
    names = [(one["reviewer"], one["task"], one["number"]) for one in after]
    assert len(set(names)) == len(names) == 4
    for peer in PEERS:
        assert judge_standing(FEW, peer, results).measured == 2


def late_night(policy: CanaryPolicy, batch: str) -> str:
    """Return a night's id for which nothing is planted with the first of three tasks."""
    task = f"{batch}/2026.01.01"
    for number in range(100):
        night = f"n{number}"
        if not any(
            plan_canaries(policy, night=night, reviewer=peer, task=task, reviews=0, planted=0, left=3)
            for peer in PEERS
        ):
            return night
    raise AssertionError("every night plants at once")


async def test_what_landed_before_is_for_a_person_to_take_back(root: Path, tmp_path: Path) -> None:
    """A reviewer caught late: what waits is held, what landed is named first, with the command to take it back."""
    policy, batch = CanaryPolicy(rate=0, minimum=1), "b" * 12
    night = late_night(policy, batch)
    chain = {"2026.01.02": ["2026.01.01"], "2026.01.03": ["2026.01.02"]}
    async with opened(root, tmp_path, Approver(PROPOSALS), canaries=CanaryPolicy()) as bench:
        with_policy(bench, policy)
        summary = await bench.night(sorted(FILES), needs=chain, night=night)
        assert summary.outcomes["accepted"] >= 1
        assert summary.outcomes.get("accepted", 0) < 3
        report = await build_report(bench.store, FolderEvidence(tmp_path / "artifacts"), night)
        landed = [task.key for task in summary.tasks if task.outcome == "accepted"]
        details = {"reason": "a bad word", "commit": "c" * 40, "undo": "d" * 40}
        for key in landed:
            await bench.store.add_event(night, key, UNDO_EVENT, details)
        later = await build_report(bench.store, FolderEvidence(tmp_path / "artifacts"), night)
    assert report.distrusted == tuple(landed)
    assert report.sentence.startswith("review.peerA was disqualified, it passed 1 of 1 canaries; ")
    assert "on the word of a disqualified reviewer. " in report.sentence
    first = report.needs[0]
    assert first.urgency == "now" and first.commands[0].startswith(f"pantheon undo {landed[0]} --reason ")
    assert first.tasks == tuple(landed)
    rates = {one.reviewer: one for one in report.canaries}
    assert rates["review.peerA"].disqualified
    assert rates["review.peerA"].false_accept.hits == 1 and rates["review.peerA"].false_accept.high == 1.0
    assert sum(report.outcomes.values()) == 3, "canaries are no tasks"
    assert later.distrusted == (), "what was taken back needs nobody any more"
    assert "on the word" not in later.sentence and later.sentence.startswith("review.peerA was disqualified")
