"""Known changes before the checks and reviewers of a night, with a scripted model."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pantheon.core.calibration import CaseResult, calibrate
from pantheon.core.known_cases import KnownNote, known_notes
from pantheon.core.mutations import MutationKind
from pantheon.core.notes.frontmatter import split_note
from pantheon.core.past_changes import PastChange, PastEdit, read_change
from pantheon.engine.calibrator import Calibrator
from pantheon.engine.memo_model import MemoModel
from pantheon.shell.known_changes import shipped_notes
from pantheon.testing.night import opened
from pantheon.testing.scripted_model import Reply, Say
from pantheon.testing.user_repository import git, make_repository

SHARE = 13
NAMES = (
    "rate-limits-for-the-search-endpoint",
    "request-timeouts-between-services",
    "retrying-uploads-with-backoff-and-jitter",
)


@dataclass
class Judge:
    """A model that knows which metadata belong to which note, and has no opinion on what belongs to neither."""

    notes: tuple[KnownNote, ...]
    asked: int = 0

    def __call__(self, body: Mapping[str, Any]) -> Reply:
        self.asked += 1
        turn = body["messages"][-1]["content"]
        note = max(self.notes, key=lambda one: _common(one.text, turn.partition("</note>")[0]))
        first, _, second = turn.partition("\nA: ")[2].partition("\nAnswer")[0].partition("\nB: ")
        right = {note.metadata.text(name) for name in ("title", "description", "tags")}
        scores = [float(text in right) for text in (first, second)]
        if scores[0] == scores[1]:
            return Say("A", finish_reason="length", logprobs={"A": -0.7, "B": -0.7})
        best, other = ("A", "B") if scores[0] > scores[1] else ("B", "A")
        return Say(best, finish_reason="length", logprobs={best: -0.05, other: -3.0})


def _common(text: str, shown: str) -> int:
    return sum(line in shown for line in text.splitlines()[10:] if len(line) > 20)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("known")
    for name, data in shipped_notes().items():
        if name.removesuffix(".md") in NAMES:
            (root / name).write_bytes(data)
    (root / "scrap.md").write_text("nothing is known of this\n")
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["-c", "user.name=U", "-c", "user.email=u@localhost", "commit", "-q", "-m", "start"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


async def test_changes_of_the_past_are_judged_on_the_commit_that_they_were_made_on(tmp_path: Path) -> None:
    """One that renamed a note and one that did not: the good changes pass, and each case says where it came from."""
    files = {name: data for name, data in shipped_notes().items() if name.removesuffix(".md") in NAMES}
    beside = {f"beside/{name}": data for name, data in list(files.items())[2:]}
    (first, one), (second, two), *_ = files.items()
    bare = {name: split_note(data).body for name, data in files.items()}
    root = make_repository(tmp_path / "user", {"2026.01.02.md": bare[first], second: bare[second]})
    parents = [git(root, "rev-parse", "HEAD").strip()]
    git(root, "mv", "2026.01.02.md", first)
    for name, data in ((first, one), (second, two)):
        (root / name).write_bytes(data)
        git(root, "add", "--", name)
        git(root, "commit", "-q", "-m", "Catalogue")
        parents.append(git(root, "rev-parse", "HEAD").strip())
    edits = [
        PastEdit(parents[1], parents[0], "2026.01.02.md", first, first),
        PastEdit(parents[2], parents[1], second, second, second),
    ]
    results: list[CaseResult] = []
    async with opened(root, tmp_path / "p", Judge(known_notes(files))) as bench:
        repository = bench.services.repository
        calibrator = Calibrator(bench.services, bench.services.content.flows["docops"], (), parents[-1])
        for edit in edits:
            after = await repository.read_file(edit.commit, edit.path)
            change = read_change(edit, await repository.read_file(edit.parent, edit.old_path), after)
            assert isinstance(change, PastChange)
            subject = await calibrator.prepare_past(change, beside=beside, share=8, seed=0)
            assert await repository.read_file(subject.base, edit.old_path) == change.before.encode()
            assert subject.task.targets == (edit.old_path,)
            results += [await calibrator.judge(subject, case) for case in subject.cases]
        assert await repository.resolve("HEAD") == parents[-1]
    good = [result for result in results if result.good]
    assert [result.subject for result in good] == [f"{e.path}@{e.commit[:12]}" for e in edits]
    assert [result.failures for result in good] == [(), ()]
    assert {result.source for result in results} == {edit.commit for edit in edits}
    figures = calibrate(results)
    assert figures.from_history == 2
    assert figures.false_rejects.hits == 0
    assert figures.false_accepts.hits == 0
    assert figures.false_accepts.total >= 10


async def test_known_changes_are_judged_as_a_night_judges_them(repository: Path, tmp_path: Path) -> None:
    """A judge that knows lets every good change pass and nothing else; the checks alone see what they are there for."""
    files = {name: data for name, data in shipped_notes().items() if name.removesuffix(".md") in NAMES}
    notes = known_notes({**files, "scrap.md": b"nothing is known of this\n"})
    assert len(notes) == len(NAMES)
    judge = Judge(notes)
    results: list[CaseResult] = []
    async with opened(repository, tmp_path / "p", judge) as bench:
        memo = MemoModel(bench.services.model)
        services = replace(bench.services, model=memo)
        start = await services.repository.resolve("HEAD")
        calibrator = Calibrator(services, services.content.flows["docops"], notes, start)
        for number in range(len(notes)):
            subject = await calibrator.prepare(number, share=SHARE, seed=number)
            assert [case.kind for case in subject.cases].count("good") == 1
            results += [await calibrator.judge(subject, case) for case in subject.cases]
        assert await services.repository.resolve("HEAD") == start
        assert judge.asked < sum(one.calls for result in results for one in result.judged)
    kinds = {result.kind for result in results}
    assert len(kinds & set(MutationKind)) >= 9
    for kind in ("truncated_file", "inverted_condition", "off_by_one", "dropped_link", "unrelated_edit"):
        assert all(result.failures for result in results if result.kind == kind), kind
    figures = calibrate(results)
    assert figures.false_accepts.hits == 0
    assert figures.false_rejects.hits == 0
    for reviewer in figures.reviewers:
        assert reviewer.areas["swapped_metadata"].value == 1
    assert {reviewer.reviewer for reviewer in figures.reviewers} == {"review.peerA", "review.peerB"}
