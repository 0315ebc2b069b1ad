"""A night has two times: the last start, and when all must be finished; what is admitted is held against the second."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pantheon.core.records import TaskOutcome
from pantheon.testing.night import Bench, NoteScript, opened
from pantheon.testing.sample_notes import NOTES, PROPOSALS
from pantheon.testing.user_repository import make_repository

TARGET = next(iter(NOTES))


def expect(bench: Bench, task_s: float) -> None:
    """Have each agent's node be expected to take so long."""
    flows = {
        name: flow.model_copy(
            update={
                "node": tuple(
                    one.model_copy(update={"expected_s": task_s if one.agent else 1.0}) for one in flow.node
                )
            }
        )
        for name, flow in bench.services.content.flows.items()
    }
    bench.services = replace(bench.services, content=replace(bench.services.content, flows=flows))


@pytest.mark.parametrize(
    ("window_s", "outcome", "cause"),
    [
        (3_600, TaskOutcome.ACCEPTED, ""),
        (1_800, TaskOutcome.NOT_REACHED, "it would not be finished when the window ends: "),
    ],
)
async def test_what_fits_before_the_window_s_end_starts_before_the_last_start(
    tmp_path: Path, window_s: int, outcome: TaskOutcome, cause: str
) -> None:
    """At 900 s to the last start a task of about 2,000 s is begun when the window ends in an hour, and only then."""
    root = make_repository(tmp_path / "user", NOTES)
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        expect(bench, 1_000.0)
        now = bench.services.clock.now()
        bench.ends_at, bench.finish_by = now + timedelta(seconds=900), now + timedelta(seconds=window_s)
        summary = await bench.night([TARGET])
    [task] = summary.tasks
    assert task.outcome is outcome
    assert cause in task.cause
    if cause:
        left_s = int(task.cause.rpartition(", ")[2].removesuffix(" s left"))
        assert 900 < left_s <= window_s
