"""What a person sees of work that a closed night has not reached: in status, show, capacity and requeue."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from pantheon.core.records import BatchRecord, NightRecord, TaskOutcome, TaskRecord
from pantheon.ports.store import Store
from pantheon.shell.cli.app import run
from pantheon.shell.config import Project
from pantheon.shell.wiring import open_project_store

BATCH = "a1b2c3d4e5f6"
ONE, TWO = f"{BATCH}/fm-1", f"{BATCH}/fm-2"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def in_store(project: Project, work: Callable[[Store], Awaitable[Any]]) -> Any:
    """Do something with the project's store."""

    async def main() -> Any:
        async with open_project_store(project, write=True) as store:
            return await work(store)

    return asyncio.run(main())


async def left_night(store: Store) -> None:
    """Close a night that accepted the first of two tasks and has not reached the second, which needs it."""
    lines = [
        {"id": "fm-1", "kind": "docops", "goal": "g", "targets": ["docs/1.md"]},
        {"id": "fm-2", "kind": "docops", "goal": "g", "targets": ["docs/2.md"], "needs": ["fm-1"]},
    ]
    tasks = [TaskRecord(key=f"{BATCH}/{one['id']}", batch=BATCH, line=json.dumps(one)) for one in lines]
    batch = BatchRecord(name=BATCH, digest="a" * 64, lines=2, enqueued_at=NOW, path="queue/x.jsonl")
    await store.add_batch(batch, tasks)
    await store.open_night(NightRecord(id="n1", base_commit="c" * 40, branch="b", started_at=NOW), [ONE, TWO])
    await store.finish_task("n1", ONE, TaskOutcome.ACCEPTED, "")
    await store.finish_task("n1", TWO, TaskOutcome.NOT_REACHED, "the window ended before it")
    await store.close_night("n1", {"carried_over": 1}, carry=[TWO])


def said(project: Project, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what a command that succeeds says."""
    code = run(["-C", str(project.root), *words])
    told = capsys.readouterr()
    assert code == 0, told.err
    return told.out


def test_it_waits_for_the_next_night(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Status counts it as waiting and as left over, show says by whom, capacity plans it without what it needs."""
    in_store(project, left_night)
    told = said(project, capsys, "status")
    assert "1 task waits for a night" in told
    assert "1 of them was not reached before" in told
    assert json.loads(said(project, capsys, "status", "--json"))["left_tasks"] == 1
    shown = said(project, capsys, "show", "fm-2")
    assert f"{TWO}: waits for the next night" in shown
    assert "night n1 has not reached it" in shown
    assert json.loads(said(project, capsys, "show", "fm-2", "--json"))["left_by"] == "n1"
    assert "Tonight's queue" in said(project, capsys, "capacity", "--window", "8")


def test_a_requeue_of_it_is_heard_once(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """``--failed`` leaves it alone, for it waits; by name it becomes somebody's wish, and there is one of it."""
    in_store(project, left_night)
    assert "requeue fm-2" not in said(project, capsys, "requeue", "--failed", "--reason", "again")
    assert "waits for the next night" in said(project, capsys, "requeue", "fm-2", "--reason", "again")
    assert run(["-C", str(project.root), "requeue", "fm-2", "--reason", "again"]) == 2
    assert "waits for the next night already" in capsys.readouterr().err
    pending = in_store(project, lambda store: store.tasks(pending=True))
    assert [(task.key, task.left_by) for task in pending] == [(TWO, None)]


def test_the_report_says_that_it_goes_on(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is to be queued again, and the first sentence calls it not reached."""
    in_store(project, left_night)
    said(project, capsys, "report", "n1")
    report = json.loads((project.artifacts / "n1" / "report.json").read_text())
    assert "1 was not reached" in report["sentence"] or "never ran" in report["sentence"]
    need = next(one for one in report["needs"] if TWO in one["tasks"])
    assert need["title"] == "1 task that was not reached waits for the next night"
