"""A node that takes its process down whenever it runs: given up after five times, with what is known of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.store import open_store
from pantheon.core.records import (
    AttemptOutcome,
    AttemptRecord,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
)
from pantheon.engine.night_run import MAX_INTERRUPTIONS
from pantheon.ports.crash_points import CrashPoint
from pantheon.testing.chaos_check import check_night, fingerprint
from pantheon.testing.chaos_fork import KILLED, ChaosNursery, Death
from pantheon.testing.chaos_night import NIGHT, ChaosNight


@pytest.fixture(scope="module")
def nursery() -> Iterator[ChaosNursery]:
    with ChaosNursery() as nursery:
        yield nursery


async def read(
    night: ChaosNight,
) -> tuple[tuple[NodeRecord, ...], tuple[AttemptRecord, ...], tuple[TaskRecord, ...]]:
    """What the store says of the night."""
    store = await open_store(night.database, SystemClock(), write=False)
    try:
        return await store.nodes(NIGHT), await store.attempts(NIGHT), await store.tasks(night=NIGHT)
    finally:
        await store.aclose()


async def dead(night: ChaosNight) -> dict[str, list[AttemptRecord]]:
    """Node -> its attempts that died with their process, or run when nothing does any more."""
    _, attempts, _ = await read(night)
    died: dict[str, list[AttemptRecord]] = {}
    for attempt in attempts:
        if attempt.result is None or attempt.result.outcome is AttemptOutcome.INTERRUPTED:
            died.setdefault(attempt.node, []).append(attempt)
    return died


def test_a_node_killed_five_times_is_quarantined(nursery: ChaosNursery, tmp_path: Path) -> None:
    """What ran at five deaths of a night is given up with that cause, its attempts stay, and the night ends."""
    night = ChaosNight(tmp_path, notes=2)
    night.make()
    before = fingerprint(night.root)
    died: dict[str, list[AttemptRecord]] = {}
    # Of the two notes' nodes either may be the one that runs: nine deaths are five of one of them.
    while max((len(attempts) for attempts in died.values()), default=0) < MAX_INTERRUPTIONS:
        assert nursery.run(night, Death(CrashPoint.MODEL_CALL_BEFORE)) == KILLED
        died = asyncio.run(dead(night))
    assert nursery.run(night) == 0
    died = asyncio.run(dead(night))
    nodes, _, tasks = asyncio.run(read(night))
    given_up = {node.key: node for node in nodes if "quarantined" in node.cause and node.key in died}
    assert {key for key, list_ in died.items() if len(list_) >= MAX_INTERRUPTIONS} == set(given_up) != set()
    for node in given_up.values():
        assert node.state is NodeState.CANCELLED
        assert node.cause.startswith(f"interrupted {MAX_INTERRUPTIONS} times")
    lost = {task.key: task for task in tasks if task.outcome is not TaskOutcome.ACCEPTED}
    assert set(lost) == {node.task for node in given_up.values()}
    assert all("quarantined" in task.cause for task in lost.values())
    evidence = night.own / "artifacts"
    kept = [attempt for key in given_up for attempt in died[key] if any(folder(evidence, attempt))]
    # Each time one of them had come to the model call, behind what it left on the way there.
    assert len(kept) >= MAX_INTERRUPTIONS
    found = asyncio.run(check_night(night, before))
    assert (found.lost, found.repeated, found.torn, found.touched) == ((), (), (), ())
    assert nursery.run(night) == 0


def folder(evidence: Path, attempt: AttemptRecord) -> list[Path]:
    """What an attempt left, nothing when it died before it had a folder."""
    task, _, node = attempt.node.partition("#")
    return list((evidence / NIGHT / task.replace("/", "-") / node / f"{attempt.attempt:03}").glob("*"))
