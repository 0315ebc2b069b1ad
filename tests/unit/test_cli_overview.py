"""What status and show tell is counted once, measured honestly, and never guessed."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from pantheon.core.errors import ConfigError
from pantheon.core.overview import find_task, measure_objectives, summarise_night, summarise_pending
from pantheon.core.policy import SloPolicy
from pantheon.core.records import (
    AttemptOutcome,
    AttemptRecord,
    AttemptResult,
    BatchRecord,
    NightRecord,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
)

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
BATCH = "a1b2c3d4e5f6"


def task(name: str, outcome: TaskOutcome | None = None, batch: str = BATCH) -> TaskRecord:
    line = json.dumps({"id": name, "kind": "docops", "goal": "g"})
    return TaskRecord(key=f"{batch}/{name}", batch=batch, line=line, outcome=outcome)


def attempt(
    number: int, seconds: float, outcome: AttemptOutcome | None = AttemptOutcome.SUCCEEDED
) -> AttemptRecord:
    result = None if outcome is None else AttemptResult(outcome=outcome, node_state=NodeState.SUCCEEDED)
    ended = None if outcome is None else NOW + timedelta(seconds=seconds)
    return AttemptRecord(
        night="n",
        node=f"t#{number}",
        attempt=1,
        token=number,
        owner="o",
        started_at=NOW,
        ended_at=ended,
        result=result,
    )


def test_pending_batches_are_counted_in_queue_order() -> None:
    """Each waiting task counts for its batch, with the batch's label."""
    other = "ff" + BATCH[2:]
    batches = [
        BatchRecord(name=BATCH, digest="a" * 64, label="again", lines=2, enqueued_at=NOW, path="queue/x")
    ]
    found = summarise_pending(batches, [task("a"), task("b", batch=other), task("c")])
    assert [(one.name, one.label, one.tasks) for one in found] == [
        ("a1b2c3d4e5f6", "again", 2),
        ("ffb2c3d4e5f6", "", 1),
    ]


def test_objectives_are_measured_on_what_was_offered() -> None:
    """A task with nothing to do is not held against the night; crashed attempts are."""
    tasks = [task("a", TaskOutcome.ACCEPTED), task("b", TaskOutcome.DENIED), task("c", TaskOutcome.SKIPPED)]
    attempts = [attempt(n, n) for n in range(1, 20)] + [
        attempt(20, 500, AttemptOutcome.CRASHED),
        attempt(21, 0, None),
    ]
    share, p95, broken = measure_objectives(tasks, attempts, SloPolicy(attempt_p95_s=19))
    assert (share.measured, share.met) == (0.5, False)
    assert (p95.measured, p95.met) == (19.0, True)
    assert (broken.measured, broken.met) == (0.05, False)


def test_nothing_to_measure_is_neither_met_nor_missed() -> None:
    """An empty night claims nothing."""
    assert [(one.measured, one.met) for one in measure_objectives([], [], SloPolicy())] == [(None, None)] * 3


def test_only_a_closed_night_is_judged() -> None:
    """Half-way through, no objective is missed yet."""
    night = NightRecord(id="n", base_commit="c", branch="b", started_at=NOW)
    nodes = [NodeRecord(night="n", key="k", task="t", node="x", state=NodeState.RUNNING)]
    found = summarise_night(night, [task("a"), task("b", TaskOutcome.ACCEPTED)], nodes, [], SloPolicy())
    assert (found.outcomes, found.nodes, found.objectives) == ({"accepted": 1, "open": 1}, {"running": 1}, ())


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
