"""A model that writes a secret into a note: both reviewers like it, and it does not land."""

from pathlib import Path
from typing import Any

import pytest

from pantheon.testing.night import NoteScript, opened
from pantheon.testing.sample_notes import NOTE, TARGET, about_queues
from pantheon.testing.user_repository import git, make_repository

TOKEN = "ghp_" + "aBcD" * 9
"""Without a digit: a number that the note does not have is refused before any check."""


def said(description: str) -> dict[str, dict[str, Any]]:
    """A model that proposes this description."""
    return {"queues": {**about_queues(), "description": description}}


async def outcome(tmp_path: Path, description: str) -> tuple[str, str, str]:
    """What became of the change, why, and what the night's branch holds."""
    root = make_repository(tmp_path / "user", {TARGET: NOTE})
    async with opened(root, tmp_path / "night", NoteScript(said(description))) as bench:
        summary = await bench.night([TARGET])
    branch = git(root, "branch", "--list", "pantheon/*").strip()
    (task,) = summary.tasks
    return str(task.outcome), task.cause, branch


@pytest.mark.parametrize(
    "description",
    [
        f"Compares retries with dead letter queues for the order service, with the token {TOKEN} in it.",
        f"Compares retries with dead letter queues, {TOKEN}; pragma: allowlist secret for the order service queues.",
        "Compares retries with dead letter queues; the order service keeps the password: "
        + "'hunter-xyz' of the queues.",
    ],
)
async def test_a_secret_that_a_model_writes_does_not_land(tmp_path: Path, description: str) -> None:
    """The same night without it lands; with it, the check denies, and does not repeat it."""
    (tmp_path / "control").mkdir()
    control = await outcome(tmp_path / "control", about_queues()["description"])
    assert (control[0], control[2]) == ("accepted", "pantheon/night-n1")
    told, cause, branch = await outcome(tmp_path, description)
    assert (told, branch) == ("denied", ""), cause
    assert cause.startswith("checks: secrets: docs/")
    assert TOKEN not in cause and "hunter-xyz" not in cause
