"""A whole night whose model slots follow what its server can take."""

from pathlib import Path

import pytest

from pantheon.adapters.artifact_reader import FolderEvidence
from pantheon.core import concurrency
from pantheon.engine import pace
from pantheon.report.html import render_html
from pantheon.report.read_model import build_report
from pantheon.testing.night import NoteScript, opened, proposal
from pantheon.testing.user_repository import make_repository

SUBJECTS = ("queues", "caches", "indexes", "leases")


def note(subject: str) -> bytes:
    return f"{subject} are what this note is about; we tried three ways of sorting and kept the second.\n".encode()


def proposed(subject: str) -> dict[str, object]:
    return proposal(
        subject,
        f"Three Ways of Keeping {subject.title()} in Order",
        f"What was tried with {subject}, which of the three ways was kept, and why the others were not.",
        subject, "sorting", "three ways",
    )  # fmt: skip


async def test_the_slots_of_the_model_grow_while_it_pays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins with one request at a time, tries more, never passes its ceiling, and records each change."""
    for name, seconds in (("LOOK_S", 0.02), ("SHORTEST_S", 0.02)):
        monkeypatch.setattr(pace, name, seconds)
    # How much of the time a test's night has something to ask is the machine's business.
    monkeypatch.setattr(concurrency, "FULL_SHARE", 0.0)
    files = {f"docs/2026.01.0{n}.md": note(subject) for n, subject in enumerate(SUBJECTS, 1)}
    root = make_repository(tmp_path / "user", files)
    script = NoteScript({subject: proposed(subject) for subject in SUBJECTS})
    async with opened(root, tmp_path, script) as bench:
        bench.paced = True
        summary = await bench.night(sorted(files))
        told = [event.details for event in await bench.store.events("n1", name=concurrency.CHANGED)]
        await bench.store.add_event("n1", "n1", concurrency.CHANGED, {"limit": "<b>", "why": 7})
        report = await build_report(bench.store, FolderEvidence(tmp_path / "artifacts"))
    assert summary.outcomes == {"accepted": len(files)}, [task.cause for task in summary.tasks]
    assert {one["limit"] for one in told} <= {1, 2}
    assert told[0]["limit"] == 2
    assert [one.limit for one in report.in_flight] == [one["limit"] for one in told]
    assert report.problems == ("1 of the changes of the number in flight cannot be read",)
    page = render_html(report).decode()
    assert "Requests in flight" in page
    assert told[0]["why"] in page
