"""A whole night whose model slots follow what its server can take."""

from pathlib import Path

import pytest

from pantheon.core import concurrency
from pantheon.engine import pace
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
        told = [event.details for event in await bench.store.events("n1", name=pace.CHANGED)]
    assert summary.outcomes == {"accepted": len(files)}, [task.cause for task in summary.tasks]
    assert {one["limit"] for one in told} <= {1, 2}
    assert told[0]["limit"] == 2
