"""The whole night, from task to branch, with a scripted model, real git, SQLite, artifacts and signatures."""

import asyncio
import base64
import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pantheon.core.dsse import open_envelope, parse_envelope
from pantheon.core.errors import StoreError
from pantheon.core.policy import NightBudget, NightPolicy
from pantheon.core.records import AttemptOutcome, NodeState, TaskOutcome
from pantheon.core.statement import parse_statement
from pantheon.engine.night_run import Progress
from pantheon.testing.night import NoteScript, opened
from pantheon.testing.sample_notes import PROPOSALS
from pantheon.testing.scripted_model import Answer, Reply, Say
from pantheon.testing.signing import delegated_key
from pantheon.testing.user_repository import git, make_repository

QUEUES = b"""queues notes from the call

We compared retries with dead letter queues for the order service. Retries with backoff hide slow consumers,
dead letter queues show them. See [the cache note](2026.01.02.md) and [[2026.01.03]].
"""
CACHES = b"""caches again, sorry\r
\r
The cache of the catalogue service keeps stale prices for ten minutes. Invalidation by event beats lifetimes.\r
Related: [queues](2026.01.01.md#top "old") and `[not a link](2026.01.01.md)`.\r
"""
INDEXES = b"""indexes

The monthly report needs a composite index on customer and date; the query plan shows a sequential scan.
"""
FILES = {
    "docs/2026.01.01.md": QUEUES,
    "docs/2026.01.02.md": CACHES,
    "docs/2026.01.03.md": INDEXES,
    "docs/empty.md": b"\n \n",
    "docs/binary.md": b"text\0more",
    "README.md": b"Start with [the queues](docs/2026.01.01.md).\n",
}
NOTES = tuple(sorted(FILES)[1:4])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "user", FILES)


def show(root: Path, path: str) -> bytes:
    return git(root, "show", f"pantheon/night-n1:{path}").encode()


async def test_a_night_lands_notes_with_their_links(root: Path, tmp_path: Path) -> None:
    """Accepted notes get metadata and a name; every link follows, bodies stay, the user's side is untouched."""
    (root / "docs/2026.01.03.md").write_bytes(b"dirty")
    (root / "new.txt").write_bytes(b"untracked")
    before = (
        git(root, "status", "--porcelain"),
        git(root, "rev-parse", "HEAD"),
        (root / ".git/index").read_bytes(),
    )
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        summary = await bench.night(["docs/2026.01.01.md", "docs/2026.01.02.md", "docs/2026.01.03.md"])
    assert summary.outcomes == {"accepted": 3}, [task.cause for task in summary.tasks]
    names = git(root, "ls-tree", "-r", "--name-only", "pantheon/night-n1").split()
    assert names == [
        "README.md",
        "docs/a-composite-index-for-the-monthly-report.md",
        "docs/binary.md",
        "docs/empty.md",
        "docs/invalidating-the-catalogue-cache-by-event.md",
        "docs/retries-versus-dead-letter-queues-for-orders.md",
    ]
    queues = show(root, "docs/retries-versus-dead-letter-queues-for-orders.md")
    body = queues.partition(b"\n---\n")[2]
    assert body == QUEUES.replace(
        b"(2026.01.02.md)", b"(invalidating-the-catalogue-cache-by-event.md)"
    ).replace(b"[[2026.01.03]]", b"[[a-composite-index-for-the-monthly-report]]")
    assert b"(docs/retries-versus-dead-letter-queues-for-orders.md)" in show(root, "README.md")
    assert b"`[not a link](2026.01.01.md)`" in show(root, "docs/invalidating-the-catalogue-cache-by-event.md")
    after = (
        git(root, "status", "--porcelain"),
        git(root, "rev-parse", "HEAD"),
        (root / ".git/index").read_bytes(),
    )
    assert before == after
    assert git(root, "fsck", "--no-dangling") == ""


async def test_crlf_bodies_stay_byte_for_byte(root: Path, tmp_path: Path) -> None:
    """A body with carriage returns is the tail of the landed file."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        await bench.night(["docs/2026.01.02.md"])
    landed = "docs/invalidating-the-catalogue-cache-by-event.md"
    data = landed_bytes(root, landed)
    assert data.endswith(CACHES)


def landed_bytes(root: Path, path: str) -> bytes:
    return subprocess.run(
        ["git", "cat-file", "blob", f"pantheon/night-n1:{path}"], cwd=root, check=True, capture_output=True
    ).stdout


async def test_what_must_not_change_fails_for_its_own_reason(root: Path, tmp_path: Path) -> None:
    """Empty, binary and missing targets fail in validation, and cost no model call."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        summary = await bench.night(["docs/empty.md", "docs/binary.md", "docs/missing.md"])
        assert bench.server.requests == []
    causes = {task.key.rpartition("/")[2]: task.cause for task in summary.tasks}
    assert "the note has no text" in causes["empty"]
    assert "binary" in causes["binary"]
    assert "no such file" in causes["missing"]
    assert summary.outcomes == {"failed": 3}
    assert "pantheon" not in git(root, "branch", "--list", "pantheon/*")


async def test_one_reviewer_is_enough_to_deny(root: Path, tmp_path: Path) -> None:
    """A change that one reviewer does not prefer is denied, with the reason, and nothing lands."""
    script = NoteScript(PROPOSALS, prefers=lambda question: "Which tags" not in question)
    async with opened(root, tmp_path, script) as bench:
        summary = await bench.night(["docs/2026.01.01.md"])
    assert summary.outcomes == {"denied": 1}
    assert "review.peerB" in summary.tasks[0].cause
    assert "was not preferred" in summary.tasks[0].cause
    assert git(root, "branch", "--list", "pantheon/*") == ""


async def test_reviewer_without_mass_denies(root: Path, tmp_path: Path) -> None:
    """A model that answers neither letter denies; so does one that is torn."""
    inner = NoteScript(PROPOSALS)

    def script(body: Any) -> Reply:
        reply = inner(body)
        if isinstance(reply, Say) and reply.logprobs:
            return Say("The", logprobs={"The": -0.1, "A": -6.0, "B": -9.0})
        return reply

    async with opened(root, tmp_path, script) as bench:
        summary = await bench.night(["docs/2026.01.01.md"])
    assert summary.outcomes == {"denied": 1}


async def test_bad_proposals_go_back_and_then_fail(root: Path, tmp_path: Path) -> None:
    """A greeting, an echo and garbage are refused with their reasons; a good answer afterwards is taken."""
    good = json.dumps({"finalize": PROPOSALS["queues"]})
    answers = [
        "Sure! Here is the metadata",
        json.dumps(
            {"finalize": {**PROPOSALS["queues"], "title": "Retrying Nightly rsync Backups to the NAS"}}
        ),
        good,
    ]
    inner = NoteScript(PROPOSALS)

    def script(body: Any) -> Reply:
        reply = inner(body)
        if isinstance(reply, Say) and not reply.logprobs and answers:
            return Say(answers.pop(0))
        return reply

    async with opened(root, tmp_path, script) as bench:
        summary = await bench.night(["docs/2026.01.01.md"])
        last = [request["messages"][-1]["content"] for request in bench.server.requests]
    assert summary.outcomes == {"accepted": 1}
    assert "was refused: not one JSON object" in last[1]
    assert "was refused: title" in last[2]


async def test_artifacts_are_complete_and_attested(root: Path, tmp_path: Path) -> None:
    """Each attempt leaves its artifacts, and an attestation that covers exactly these bytes."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        await bench.night(["docs/2026.01.01.md"])
        attempts = await bench.store.attempts("n1")
        key = delegated_key(tmp_path / "artifacts" / "n1" / "ledger.jsonl", bench.services.signer.public_key)
    found = {}
    for attempt in attempts:
        assert attempt.result is not None
        folder = tmp_path / "artifacts" / attempt.result.artifacts
        names = {path.name for path in folder.iterdir()}
        found[attempt.node.rpartition("#")[2]] = names
        envelope = parse_envelope((folder / "attestation.json").read_bytes())
        statement = parse_statement(open_envelope(envelope, [key]))
        assert {s.name: s.digest["sha256"] for s in statement.subject} == {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in names - {"attestation.json"}
        }
        assert statement.predicate["node"] == attempt.node.rpartition("#")[2]
        assert base64.b64decode(envelope.payload)
    always = {"input.json", "metrics.json", "attestation.json"}
    assert all(always <= names for names in found.values())
    assert {"llm_prompt.txt", "llm_calls.jsonl", "tool_calls.jsonl", "output.json", "diff.patch"} <= found[
        "doc.frontmatter"
    ]
    assert {"review.json", "llm_prompt.txt"} <= found["review.peerA"]
    assert "diff.patch" in found["merge"]


async def test_needs_block_and_build_on_each_other(root: Path, tmp_path: Path) -> None:
    """A task starts from what it needs once that has landed, and is blocked when it has not."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        summary = await bench.night(
            ["docs/2026.01.01.md", "docs/2026.01.02.md", "docs/empty.md", "docs/2026.01.03.md"],
            needs={"2026.01.02": ["2026.01.01"], "2026.01.03": ["empty"]},
        )
    outcomes = {task.key.rpartition("/")[2]: str(task.outcome) for task in summary.tasks}
    assert outcomes == {
        "2026.01.01": "accepted",
        "2026.01.02": "accepted",
        "empty": "failed",
        "2026.01.03": "blocked",
    }
    log = git(root, "log", "--format=%s", "main..pantheon/night-n1").splitlines()
    assert log[-1].startswith("docops: Retries")


async def test_two_notes_that_want_one_name(root: Path, tmp_path: Path) -> None:
    """The second note that ends up with a taken name is denied; the first one's file is not replaced."""
    same = {**PROPOSALS, "indexes": PROPOSALS["queues"]}
    text = QUEUES.replace(b"queues notes", b"indexes notes").replace(b"2026.01.03", b"other")
    (root / "docs/2026.01.03.md").write_bytes(text)
    git(root, "commit", "-qam", "same subject twice")
    async with opened(root, tmp_path, NoteScript(same)) as bench:
        summary = await bench.night(["docs/2026.01.01.md", "docs/2026.01.03.md"])
    assert sorted(str(task.outcome) for task in summary.tasks) == ["accepted", "denied"]
    denied = next(task for task in summary.tasks if task.outcome == "denied")
    assert "already" in denied.cause


async def test_server_that_fails_is_not_the_works_fault(root: Path, tmp_path: Path) -> None:
    """A server that refuses every request fails the task as infrastructure, with the server's words."""
    async with opened(root, tmp_path, lambda _: Answer(400, b"no such model")) as bench:
        summary = await bench.night(["docs/2026.01.01.md"])
    assert summary.outcomes == {"failed": 1}
    assert "no such model" in summary.tasks[0].cause


async def test_interrupted_night_is_resumed(root: Path, tmp_path: Path) -> None:
    """Cancelled in mid-night, the same command goes on: finished work stays, nothing lands twice."""
    slow = NoteScript(PROPOSALS)
    asked, landed_one = asyncio.Event(), asyncio.Event()

    def script(body: Any) -> Reply:
        reply = slow(body)
        last = body["messages"][-1]["content"]
        if isinstance(reply, Say) and "caches again" in last:
            asked.set()
            return Say(reply.text, finish_reason=reply.finish_reason, logprobs=reply.logprobs, delay_s=3_600)
        return reply

    def watch(step: Progress) -> None:
        if (step.task.endswith("2026.01.01"), step.node, step.event) == (True, "", TaskOutcome.ACCEPTED):
            landed_one.set()

    notes = ["docs/2026.01.01.md", "docs/2026.01.02.md", "docs/2026.01.03.md"]
    async with opened(root, tmp_path, script) as bench:
        bench.watch = watch
        async with asyncio.TaskGroup() as group:
            night = group.create_task(bench.night(notes), name="night")
            await asked.wait()
            await landed_one.wait()
            night.cancel()
        assert night.cancelled()
        assert (await bench.store.nights())[0].state == "running"
    resumed = NoteScript(PROPOSALS)
    async with opened(root, tmp_path, resumed) as bench:
        summary = await bench.night(notes)
        attempts = await bench.store.attempts("n1")
    assert summary.outcomes == {"accepted": 3}
    assert "queues" not in resumed.asked
    landed = git(
        root, "log", "--format=%(trailers:key=Pantheon-Task,valueonly)", "main..pantheon/night-n1"
    ).split()
    assert sorted(landed) == sorted(set(landed))
    assert len(landed) == 3
    ended = [a.result.outcome for a in attempts if a.result]
    assert set(ended) <= {AttemptOutcome.SUCCEEDED, AttemptOutcome.CANCELLED, AttemptOutcome.INTERRUPTED}


async def test_merge_is_idempotent_after_a_kill_before_the_store_knew(root: Path, tmp_path: Path) -> None:
    """A change that landed while the store did not hear of it is found on the branch, not landed again."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        await bench.night(["docs/2026.01.01.md"])
        nodes = {node.node: node for node in await bench.store.nodes("n1")}
        assert nodes["merge"].state is NodeState.SUCCEEDED
        first = git(root, "rev-parse", "pantheon/night-n1").strip()
    # The same night again in an empty store: what a lost database looks like.
    async with opened(root, tmp_path / "second", NoteScript(PROPOSALS)) as bench:
        summary = await bench.night(["docs/2026.01.01.md"])
    assert summary.outcomes == {"accepted": 1}
    assert git(root, "rev-parse", "pantheon/night-n1").strip() == first


async def test_drained_night_stays_open_and_a_spent_budget_closes(root: Path, tmp_path: Path) -> None:
    """A drain starts nothing more and can be resumed; a budget that is spent ends the night with work left."""
    notes = ["docs/2026.01.01.md", "docs/2026.01.02.md", "docs/2026.01.03.md"]
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        bench.stopping.set()
        drained = await bench.night(notes)
        assert (drained.left_open, drained.outcomes) == (True, {"open": 3})
        bench.stopping.clear()
        assert (await bench.night(notes)).outcomes == {"accepted": 3}
    content = NightPolicy(budget=NightBudget(output_tokens=1_000))
    async with opened(root, tmp_path / "second", NoteScript(PROPOSALS)) as bench:
        bench.services = replace(
            bench.services, content=replace(bench.services.content, night_policy=content)
        )
        bench.server.script = lambda body: Say("x" * 5_000) if body.get("response_format") else Say("A")
        spent = await bench.night(notes, night="n2")
        assert not spent.left_open
        assert spent.outcomes["not_reached"] >= 1
        assert (await bench.store.nights())[0].state == "closed"


async def test_a_task_whose_last_node_had_ended_is_concluded_on_resume(root: Path, tmp_path: Path) -> None:
    """Killed between a node's failure and the task's outcome, the resumed night says what became of the task."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        finish = bench.store.finish_task

        async def die(*args: Any) -> None:
            raise StoreError("the disk is full")

        bench.store.finish_task = die  # type: ignore[method-assign]
        with pytest.raises(ExceptionGroup) as raised:
            await bench.night(["docs/empty.md"])
        assert raised.group_contains(StoreError)
        bench.store.finish_task = finish  # type: ignore[method-assign]
        assert (await bench.night(["docs/empty.md"])).outcomes == {"failed": 1}


async def test_the_last_node_and_the_outcome_are_one_commit(root: Path, tmp_path: Path) -> None:
    """A task that is accepted was never recorded as landed without its outcome."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        await bench.night(["docs/2026.01.01.md"])
        names = [(event.at, event.name) for event in await bench.store.events("n1")]
    merged = [at for at, name in names if name == "node.succeeded"][-1]
    assert [at for at, name in names if name == "task.accepted"] == [merged]


async def test_a_bug_in_one_node_does_not_end_the_night(root: Path, tmp_path: Path) -> None:
    """What nobody foresaw fails its own task as crashed, with its name; the others go on."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        read = bench.services.repository.read_files

        async def broken(commit: str, paths: Sequence[str]) -> Mapping[str, bytes]:
            if not bench.steps or not any(s.event == "accepted" for s in bench.steps):
                raise ZeroDivisionError("unforeseen")
            return await read(commit, paths)

        bench.services.repository.read_files = broken  # type: ignore[method-assign]
        summary = await bench.night(["docs/2026.01.01.md", "docs/empty.md"])
    causes = {task.key.rpartition("/")[2]: task.cause for task in summary.tasks}
    assert summary.outcomes == {"failed": 2}
    assert "ZeroDivisionError" in causes["2026.01.01"]
