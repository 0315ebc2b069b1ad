"""A night whose policy puts some refusals before a person: reviewed, told as held, and never landed."""

from dataclasses import replace
from pathlib import Path

from pantheon.core.gate import HELD
from pantheon.testing.night import NoteScript, opened
from pantheon.testing.sample_notes import NOTE, PROPOSALS, TARGET
from pantheon.testing.user_repository import git, make_repository


async def judged(tmp_path: Path, *hold: str) -> tuple[str, str, int]:
    """Outcome and cause of a good change to a protected path, and how many verdicts were asked for."""
    root = make_repository(tmp_path / "user", {TARGET: NOTE})
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:
        content = bench.services.content
        policy = content.gate_policy.model_copy(
            update={"protected": (f"/{TARGET}",), "hold": frozenset(hold)}
        )
        bench.services = replace(bench.services, content=replace(content, gate_policy=policy))
        summary = await bench.night([TARGET])
    assert git(root, "branch", "--list", "pantheon/*") == ""
    (task,) = summary.tasks
    reviews = len(list((tmp_path / "night" / "artifacts").glob("n1/*/review.*/*/review.json")))
    return str(task.outcome), task.cause, reviews


async def test_a_protected_path_is_denied(tmp_path: Path) -> None:
    """At once, without a review."""
    outcome, cause, reviews = await judged(tmp_path)
    assert (outcome, reviews) == ("denied", 0)
    assert cause.startswith(f"checks: protected: {TARGET}")


async def test_a_protected_path_is_held_where_the_policy_says_so(tmp_path: Path) -> None:
    """With both reviews there to be read. It does not land either."""
    outcome, cause, reviews = await judged(tmp_path, "protected")
    assert (outcome, reviews) == ("denied", 2)
    assert cause.startswith(f"gate: {HELD}protected: {TARGET}")
