"""Attacks with reviewers that nobody has measured: whatever they say, nothing lands on their word."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pantheon.core.agent import Agent
from pantheon.core.qualification import Qualified
from pantheon.engine.night import NightSummary
from pantheon.testing.night import NoteScript, opened, proposal
from pantheon.testing.qualified import SCRIPTED, invented_qualifications, invented_results
from pantheon.testing.user_repository import git, make_repository

NOTE = (
    b"alpha: retries\n\nUploads to the object store fail once a day and are tried three times with backoff.\n"
)
SCRIPT = NoteScript(
    {
        "alpha:": proposal(
            "retries of uploads",
            "Retries of Uploads to the Object Store",
            "Explains why uploads to the object store are tried three times with backoff.",
            "uploads",
            "retries",
            "object-store",
        )
    }
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "user", {"docs/2026.01.01.md": NOTE})


async def night(
    root: Path, folder: Path, *, model: str = SCRIPTED, change: Mapping[str, str] | None = None, good: float = 2.0,
    without: str = "",
) -> NightSummary:  # fmt: skip
    """Run a night with reviewers that were measured with a scripted model, and then perhaps changed."""
    async with opened(root, folder, SCRIPT) as bench:
        agents, flow = bench.services.content.agents, bench.services.content.flows["docops"]
        reviewers = ["review.peerA", "review.peerB"]
        held = invented_qualifications(agents, flow, results=invented_results(reviewers, good=good, bad=-2.0))
        content = bench.services.content
        if change is not None:
            content = replace(content, agents={name: changed(one, change) for name, one in agents.items()})
        qualified = Qualified(model=model, held=tuple(one for one in held if one.reviewer != without))
        bench.services = replace(bench.services, content=content, qualified=qualified)
        return await bench.night(["docs/2026.01.01.md"])


def changed(agent: Agent, change: Mapping[str, str]) -> Agent:
    """A reviewer with something changed after it was measured; others stay."""
    if agent.spec.role != "reviewer":
        return agent
    spec = {name: value for name, value in change.items() if name == "version"}
    return agent.model_copy(
        update={"digest": change.get("digest", agent.digest), "spec": agent.spec.model_copy(update=spec)}
    )


async def test_the_word_of_measured_reviewers_counts(root: Path, tmp_path: Path) -> None:
    """The positive control: the same night, the same script, and qualifications for both: the change lands."""
    summary = await night(root, tmp_path / "p")
    assert summary.outcomes == {"accepted": 1}
    assert "pantheon/night-n1" in git(root, "branch", "--list", "pantheon/*")


@pytest.mark.parametrize(
    "how",
    [
        {"model": "served:another"},
        {"change": {"digest": "9" * 64}},
        {"change": {"version": "99"}},
        {"without": "review.peerB"},
        {"good": -2.0},
    ],
    ids=["another model", "another prompt", "another version", "one of two", "a coin"],
)
async def test_nothing_lands_on_the_word_of_reviewers_that_do_not_qualify(
    root: Path, tmp_path: Path, how: Mapping[str, object]
) -> None:
    """They pass the change as before, the gate holds it, says what is missing, and no branch is made."""
    summary = await night(root, tmp_path / "p", **how)  # type: ignore[arg-type]
    assert "accepted" not in summary.outcomes
    assert any("not qualified" in (task.cause or "") for task in summary.tasks)
    assert git(root, "branch", "--list", "pantheon/*") == ""


async def test_a_pass_below_the_calibrated_threshold_is_none(root: Path, tmp_path: Path) -> None:
    """The reviewers prefer the proposal by more than their floors ask, and by less than was measured to be enough."""
    summary = await night(root, tmp_path / "p", good=20.0)
    assert "accepted" not in summary.outcomes
    assert git(root, "branch", "--list", "pantheon/*") == ""
