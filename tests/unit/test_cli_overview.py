"""What status and show tell is counted once, measured honestly, and never guessed."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pantheon.core.errors import ConfigError
from pantheon.core.orders import Standing
from pantheon.core.overview import find_task, measure_objectives, summarise_night, summarise_pending
from pantheon.core.policy import SloPolicy
from pantheon.core.records import (
    AttemptFigures,
    BatchRecord,
    Counts,
    NightRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
)

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
BATCH = "a1b2c3d4e5f6"


def task(name: str, outcome: TaskOutcome | None = None, batch: str = BATCH) -> TaskRecord:
    line = json.dumps({"id": name, "kind": "docops", "goal": "g"})
    return TaskRecord(key=f"{batch}/{name}", batch=batch, line=line, outcome=outcome)


def counted(outcomes: dict[TaskOutcome, int] | None = None, **more: Any) -> Counts:
    """Counts of which only some matter."""
    return Counts(**{"pending": 0, "held": 0, "open": 0, "outcomes": outcomes or {}, **more})


def test_pending_batches_have_their_labels() -> None:
    """Each batch that waits with its label and its tasks, in the order of the counts."""
    batches = [
        BatchRecord(name=BATCH, digest="a" * 64, label="again", lines=2, enqueued_at=NOW, path="queue/x")
    ]
    found = summarise_pending(batches, counted(batches={BATCH: 2, "ff" + BATCH[2:]: 1}))
    assert [(one.name, one.label, one.tasks) for one in found] == [
        ("a1b2c3d4e5f6", "again", 2),
        ("ffb2c3d4e5f6", "", 1),
    ]


def test_objectives_are_measured_on_what_was_offered() -> None:
    """A task with nothing to do is not held against the night; broken attempts are."""
    tasks = counted({TaskOutcome.ACCEPTED: 1, TaskOutcome.DENIED: 1, TaskOutcome.SKIPPED: 1})
    attempts = AttemptFigures(ended=20, broken=1, p95_s=19.0)
    share, p95, broken = measure_objectives(tasks, attempts, SloPolicy(attempt_p95_s=19))
    assert (share.measured, share.met) == (0.5, False)
    assert (p95.measured, p95.met) == (19.0, True)
    assert (broken.measured, broken.met) == (0.05, False)


def test_nothing_to_measure_is_neither_met_nor_missed() -> None:
    """An empty night claims nothing."""
    nothing = AttemptFigures(ended=0, broken=0, p95_s=None)
    found = measure_objectives(counted(), nothing, SloPolicy())
    assert [(one.measured, one.met) for one in found] == [(None, None)] * 3


def test_only_a_closed_night_is_judged() -> None:
    """Half-way through, no objective is missed yet; what the operator ordered is said."""
    night = NightRecord(id="n", base_commit="c", branch="b", started_at=NOW)
    counts = counted({TaskOutcome.ACCEPTED: 1}, open=1, nodes={NodeState.RUNNING: 1})
    standing = Standing(paused=True, held_tasks={"b/x": "look"})
    found = summarise_night(night, counts, None, standing, SloPolicy())
    assert (found.outcomes, found.nodes, found.objectives) == ({"accepted": 1, "open": 1}, {"running": 1}, ())
    assert (found.tasks, found.standing) == (2, ("paused", "tasks held"))


def test_a_name_is_exact_or_a_unique_beginning() -> None:
    """An exact id wins over longer ones that begin with it."""
    tasks = [task("fm-1"), task("fm-12"), task("other")]
    assert find_task(tasks, "fm-1") == tasks[0]
    assert find_task(tasks, "oth") == tasks[2]
    assert find_task(tasks, "a1b2c3d4e5f6/fm-12") == tasks[1]


@pytest.mark.parametrize(
    ("name", "said"), [("fm", "a1b2c3d4e5f6/fm-1, a1b2"), ("zz", "no task"), ("", "no task")]
)
def test_a_name_is_never_guessed(name: str, said: str) -> None:
    """Several that fit are all named."""
    with pytest.raises(ConfigError, match=said):
        find_task([task("fm-1"), task("fm-12")], name)


def test_the_same_id_in_two_batches_is_ambiguous() -> None:
    """The key tells them apart."""
    twice = [task("fm-1"), task("fm-1", batch="ff" + BATCH[2:])]
    with pytest.raises(ConfigError, match="several"):
        find_task(twice, "fm-1")
    assert find_task(twice, "ff") == twice[1]
