"""What needs a person: one entry for each sort of trouble, none where there is none, commands to copy."""

from datetime import UTC, datetime

import pytest

from pantheon.core.gate import HELD
from pantheon.core.records import TaskOutcome
from pantheon.report.model import NightFacts, TaskShown
from pantheon.report.needs import rank_needs

NOW = datetime(2026, 1, 1, 22, 0, tzinfo=UTC)
NIGHT = NightFacts(
    id="n", state="closed", branch="night one", base_commit="a" * 40, started_at=NOW, closed_at=NOW, wall_s=1.0,
    attempts=1, tasks=1,
)  # fmt: skip


def tasks(outcome: str, count: int = 1, problems: int = 0) -> list[TaskShown]:
    """Tasks that all ended the same way."""
    return [
        TaskShown(
            key=f"b/{n}", id=str(n), label=f"note {n}", anchor="", package="", goal="g", targets=(), outcome=outcome,
            cause="", nodes=(), problems=problems,
        )
        for n in range(count)
    ]  # fmt: skip


def test_a_night_without_trouble_needs_nobody() -> None:
    """No entry tells of nothing."""
    assert rank_needs(NIGHT, [], (), (), ()) == ()
    assert rank_needs(NIGHT, tasks(TaskOutcome.DENIED), (), (), ()) == ()


@pytest.mark.parametrize("outcome", [TaskOutcome.NOT_REACHED, TaskOutcome.BLOCKED, TaskOutcome.CANCELLED])
def test_what_was_not_worked_on_can_wait(outcome: TaskOutcome) -> None:
    """One entry for all of them, with the first to look at."""
    (one,) = rank_needs(NIGHT, tasks(outcome), (), (), ())
    assert (one.urgency, one.title, one.tasks) == ("later", "1 task was not worked on", ("b/0",))
    (many,) = rank_needs(NIGHT, tasks(outcome, 5), (), (), ())
    assert (many.title, many.commands) == ("5 tasks were not worked on", ("pantheon show b/0",))
    assert len(many.tasks) == 5


def test_what_is_held_is_told_apart_from_what_is_denied() -> None:
    """A held change waits for a look; a path that only reads like one is denied like any other."""
    (held,) = tasks(TaskOutcome.DENIED)
    told = held.model_copy(update={"cause": f"gate: {HELD}protected: Makefile"})
    (need,) = rank_needs(NIGHT, [told], (), (), ())
    assert (need.urgency, need.title, need.tasks) == ("today", "1 change is held for you", ("b/0",))
    forged = held.model_copy(update={"cause": f"checks: scope: {HELD}x"})
    assert rank_needs(NIGHT, [forged], (), (), ()) == ()


def test_gaps_come_before_the_merge() -> None:
    """What was accepted is to be merged, after a look at what lacks evidence; at most three commands each."""
    gaps, merge = rank_needs(NIGHT, tasks(TaskOutcome.ACCEPTED, 4, problems=1), (), (), ())
    assert gaps.title == "4 accepted changes have gaps in the evidence"
    assert gaps.commands == ("pantheon show b/0", "pantheon show b/1", "pantheon show b/2")
    assert merge.title == "Read and merge 4 accepted changes"
    assert merge.commands[-1] == "git merge 'night one'"
    assert gaps.tasks == merge.tasks == ("b/0", "b/1", "b/2", "b/3")
    assert gaps.urgency == merge.urgency == "now"
