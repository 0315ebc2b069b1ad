"""What the daemon sees of tasks that a closed night has not reached, and what it tells its nights of them."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pantheon.core.daemon import Work
from pantheon.core.left_over import Left
from pantheon.core.orders import Verb
from pantheon.core.records import BatchRecord, NightRecord, TaskOutcome, TaskRecord
from pantheon.ports.store import Store
from pantheon.shell import daemon_wiring
from pantheon.shell.config import Project
from pantheon.shell.daemon_wiring import ProjectNights
from pantheon.shell.wiring import open_project_store

BATCH = "a1b2c3d4e5f6"
BEGAN = datetime(2026, 1, 2, 21, tzinfo=UTC)


async def left_night(store: Store) -> None:
    """Close a night that has reached none of its tasks; one that another needs is held then."""
    lines: list[dict[str, object]] = [{"id": one, "kind": "docops", "goal": "g"} for one in "abc"]
    lines.append({**lines[0], "id": "d", "needs": ["a"]})
    tasks = [TaskRecord(key=f"{BATCH}/{one['id']}", batch=BATCH, line=json.dumps(one)) for one in lines]
    keys = [task.key for task in tasks]
    batch = BatchRecord(name=BATCH, digest="a" * 64, lines=4, enqueued_at=BEGAN, path="queue/x.jsonl")
    await store.add_batch(batch, tasks)
    await store.open_night(NightRecord(id="n1", base_commit="c" * 40, branch="b", started_at=BEGAN), keys)
    for key in keys:
        await store.finish_task("n1", key, TaskOutcome.NOT_REACHED, "the window ended before it")
    await store.close_night("n1", {}, carry=keys)
    await store.add_order(Verb.HOLD, task=keys[0], reason="look", by="ann")


async def test_it_sees_what_is_left_apart_from_what_waits(project: Project) -> None:
    """By night, without what is held and what needs it; what somebody requeues by name is like any work that waits."""
    async with open_project_store(project, write=True) as store:
        await left_night(store)
        assert await ProjectNights(project, ()).look() == Work(left=(Left(BEGAN, 2),))
        await store.requeue(f"{BATCH}/b", reason="at once", by="ann")
    assert await ProjectNights(project, ()).look() == Work(tasks=1, left=(Left(BEGAN, 1),))


async def test_its_night_is_told_when_the_window_opened(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an instant with its offset, which the command takes."""
    commands: list[Sequence[str]] = []

    async def started(command: Sequence[str], variables: Mapping[str, str], *, cwd: Path) -> Any:
        commands.append(command)

    monkeypatch.setattr(daemon_wiring, "start_child", started)
    await ProjectNights(project, ()).start(None, left_before=BEGAN)
    assert list(commands[0][-2:]) == ["--left-before", "2026-01-02T21:00:00+00:00"]
