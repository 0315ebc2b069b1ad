"""Merges in whole nights: real git, the shipped flow with a test node, a scripted model, and a computed suite."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pantheon.adapters.git.landed import read_landed
from pantheon.adapters.keys import read_public_key
from pantheon.adapters.night_verifier import verify_night
from pantheon.adapters.witness_file import read_witness
from pantheon.core.errors import MergeConflictError
from pantheon.core.merge_queue import MergePolicy
from pantheon.core.suite import SuitePolicy
from pantheon.core.verify import Flaw
from pantheon.engine.suite_runner import SuiteRunner
from pantheon.testing.merging import Files, JudgingSandbox
from pantheon.testing.night import Bench, NoteScript, opened
from pantheon.testing.sample_notes import about_queues
from pantheon.testing.suites import KeptInMemory, with_tests
from pantheon.testing.user_repository import git, make_repository

WORDS = ("queues", "lag", "quotas", "alerts")
TEXT = """{word} notes from the call

We compared retries with dead letter queues for the order service. Retries with backoff hide slow consumers,
dead letter queues show them. See [the note before](2026.01.0{before}.md) about {word} too.
"""
TITLES = {
    "queues": "Retries versus Dead Letter Queues for Orders",
    "lag": "Slow Consumers behind Retries with Backoff",
    "quotas": "Dead Letter Queues in the Order Service",
    "alerts": "Comparing Backoff with Queues for Orders",
}
PROPOSALS = {word: about_queues(title) for word, title in TITLES.items()}
NOTES = [f"docs/2026.01.0{n}.md" for n in range(1, 5)]
BRANCH = "pantheon/night-n1"


@asynccontextmanager
async def merge_night(
    tmp_path: Path, judge: Callable[[Files], Mapping[str, bool]], batch: int
) -> AsyncIterator[tuple[Bench, JudgingSandbox]]:
    """Four notes that link to each other in a circle, and a suite."""
    files = {
        note: TEXT.format(word=word, before=n or 4).encode()
        for n, (note, word) in enumerate(zip(NOTES, WORDS, strict=True))
    }
    root = make_repository(tmp_path / "user", files)
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:
        services, content = bench.services, bench.services.content
        sandbox = JudgingSandbox(judge, services.repository)
        policy = content.gate_policy.model_copy(
            update={
                "tests": SuitePolicy(command=("t",), report="tap", reruns=0),
                "merge": MergePolicy(batch=batch),
            }
        )
        bench.services = replace(
            services,
            suites=SuiteRunner(services.repository, sandbox, "0" * 64, KeptInMemory()),
            content=replace(
                content, flows={"docops": with_tests(content.flows["docops"])}, gate_policy=policy
            ),
        )
        yield bench, sandbox


def titled(files: Files) -> int:
    return sum(b"title: " in data for path, data in files.items() if path.startswith("docs/"))


async def test_notes_that_link_to_each_other_land_in_batches(tmp_path: Path) -> None:
    """Each renames a note and mends a link in another's: all are still the reviewed changes, and no link is lost."""
    async with merge_night(tmp_path, lambda files: {"there": len(files) > 3}, 4) as (bench, _):
        summary = await bench.night(NOTES)
    assert summary.outcomes == {"accepted": 4}, summary.tasks
    root = tmp_path / "user"
    names = git(root, "ls-tree", "-r", "--name-only", BRANCH).split()
    assert not set(names) & set(NOTES)
    for name in names:
        assert "2026.01.0" not in git(root, "show", f"{BRANCH}:{name}"), name
    tasks = git(root, "log", "--format=%(trailers:key=Pantheon-Task,valueonly)", f"main..{BRANCH}").split()
    assert len(tasks) == len(set(tasks)) == 4
    own = tmp_path / "night"
    verdict = verify_night(
        own / "artifacts" / "n1",
        read_public_key(own / "keys" / "night.pub.pem"),
        witness=read_witness(own / "witness" / "checkpoints.jsonl"),
        landed=partial(read_landed, root),
    )
    assert [one for one in verdict.defects if one.flaw is not Flaw.UNCONTAINED] == []


async def test_two_changes_that_only_fail_together(tmp_path: Path) -> None:
    """Each passes its own tests; the later is denied with what they said of both, and its conflict can be read."""
    async with merge_night(tmp_path, lambda files: {"few": titled(files) < 2}, 1) as (bench, _):
        summary = await bench.night(NOTES[:2])
        assert summary.outcomes == {"accepted": 1, "denied": 1}, summary.tasks
        denied = next(one for one in summary.tasks if one.outcome == "denied")
    assert denied.cause == "merge: after the merge: tests: fails, and did not on the base: few"
    (found,) = (tmp_path / "night" / "artifacts").glob("n1/*/merge/001/merge_tests.json")
    assert json.loads(found.read_text())["comparison"]["introduced"] == ["few"]
    assert len(git(tmp_path / "user", "log", "--format=%H", f"main..{BRANCH}").split()) == 1


async def test_a_join_that_conflicts_leaves_it_as_an_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the commits that a node starts from do not merge, it fails and says in which files."""
    async with merge_night(tmp_path, lambda _: {"t": True}, 1) as (bench, _):

        async def conflict(commits: Sequence[str]) -> str:
            raise MergeConflictError("the changes conflict: a.md", files=["a.md"], commits=list(commits))

        monkeypatch.setattr(bench.services.repository, "merge", conflict)
        summary = await bench.night(NOTES[:1])
    assert summary.outcomes.get("accepted", 0) == 0
    found, *_ = (tmp_path / "night" / "artifacts").glob("n1/*/*/001/conflict.json")
    told = json.loads(found.read_text())
    assert (told["reason"], told["files"]) == ("the changes conflict: a.md", ["a.md"])
