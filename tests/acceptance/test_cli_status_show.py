"""``pantheon status`` and ``pantheon show`` over a real store."""

import asyncio
import json
import os
from datetime import UTC, datetime

import pytest

from pantheon.adapters.clock import SystemClock
from pantheon.adapters.store import hold_night
from pantheon.core.records import (
    AttemptOutcome,
    AttemptResult,
    BatchRecord,
    NightRecord,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
)
from pantheon.shell.cli.app import run
from pantheon.shell.config import Project
from pantheon.shell.night_word_wiring import record_file
from pantheon.shell.wiring import open_project_store

BATCH = "a1b2c3d4e5f6"
EVIL = "no \x1b[31mtitle\u202e"
CANARY = {
    "night": "night-1", "task": f"{BATCH}/fm-1", "node": "write", "attempt": 1, "reviewer": "review.peerA",
    "version": "2", "number": 1, "kind": "swapped_metadata", "content": "a" * 64, "verdict": "none",
    "marginMillinats": None, "cause": EVIL,
}  # fmt: skip


def record(name: str) -> TaskRecord:
    line = json.dumps({"id": name, "kind": "docops", "goal": "a title", "targets": [f"docs/{name}.md"]})
    return TaskRecord(key=f"{BATCH}/{name}", batch=BATCH, line=line, package="docs")


async def queue(project: Project) -> None:
    async with open_project_store(project, write=True) as store:
        batch = BatchRecord(
            name=BATCH,
            digest="a" * 64,
            lines=2,
            enqueued_at=datetime(2026, 1, 2, tzinfo=UTC),
            path="queue/x.jsonl",
        )
        await store.add_batch(batch, [record("fm-1"), record("fm-2")])


async def open_night(project: Project, *, close: bool) -> None:
    async with open_project_store(project, write=True) as store:
        keys = [f"{BATCH}/fm-1", f"{BATCH}/fm-2"]
        night = NightRecord(
            id="night-1", base_commit="c" * 40, branch="pantheon/night-1", started_at=datetime.now(UTC)
        )
        await store.open_night(night, keys)
        await store.add_nodes(
            [NodeRecord(night="night-1", key=f"{keys[0]}#write", task=keys[0], node="write")]
        )
        await store.make_ready("night-1", [f"{keys[0]}#write"])
        lease = await store.claim("night-1", f"{keys[0]}#write", owner="me", lease_s=60)
        if close:
            result = AttemptResult(
                outcome=AttemptOutcome.FAILED,
                node_state=NodeState.FAILED,
                cause=EVIL,
                artifacts="night-1/x/write/001",
                metrics={"canaries": [CANARY, {"reviewer": "x"}, 7]},
            )
            await store.settle(lease, result)
            await store.finish_task("night-1", keys[0], TaskOutcome.FAILED, EVIL)
            await store.finish_task("night-1", keys[1], TaskOutcome.ACCEPTED, "")
            await store.close_night("night-1", {})


def read(capsys: pytest.CaptureFixture[str], project: Project, *args: str) -> str:
    capsys.readouterr()
    assert run(["-C", str(project.root), *args]) == 0
    return capsys.readouterr().out


def test_before_the_first_batch(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty project is no error, and reading makes no store."""
    assert "Nothing waits" in read(capsys, project, "status")
    assert not project.database.exists()
    assert run(["-C", str(project.root), "show", "fm-1"]) == 2


def test_waiting_tasks_are_counted(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Both forms count what no night has taken."""
    asyncio.run(queue(project))
    assert f"{BATCH}\t2\t\n" in read(capsys, project, "status")
    assert json.loads(read(capsys, project, "status", "--json"))["pending_tasks"] == 2
    assert "waits for a night" in read(capsys, project, "show", "fm-1")


def test_what_the_daemon_could_not_do_is_told_until_a_night_ran(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its newest word, before the first night and after the last one; what is older than a night is over."""
    said = f"night refused: {EVIL}"
    asyncio.run(record_file(project).add("2026-01-02 03:00 UTC", said))
    with (project.artifacts / "daemon.txt").open("ab") as file:
        file.write(b"2026-01-02 03:01 UTC  \xff\x1b[2J\n")
    assert "could not work" not in read(capsys, project, "status"), (
        "no daemon ever ran here: it came with the repository"
    )
    (project.state / "daemon.json").write_text("{}")
    assert "The daemon could not work: 2026-01-02 03:01 UTC  \ufffd\\u001b[2J\n" in read(
        capsys, project, "status"
    )
    asyncio.run(queue(project))
    asyncio.run(open_night(project, close=True))
    os.utime(project.artifacts / "daemon.txt", (1, 1))
    assert json.loads(read(capsys, project, "status", "--json"))["daemon_trouble"] == ""
    asyncio.run(record_file(project).add("2026-01-02 03:00 UTC", said))
    told = json.loads(read(capsys, project, "status", "--json"))["daemon_trouble"]
    assert told == "2026-01-02 03:00 UTC  night refused: no \\u001b[31mtitle\\u202e"


def test_an_open_night_runs_or_was_interrupted(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """A night without a living process is not called running."""
    asyncio.run(queue(project))
    asyncio.run(open_night(project, close=False))
    out = read(capsys, project, "status")
    assert "was interrupted" in out
    assert "1 running" in out

    async def while_held() -> str:
        async with hold_night(project.database, SystemClock()):
            return await asyncio.to_thread(read, capsys, project, "status")

    assert "night-1, started" in (held := asyncio.run(while_held()))
    assert "runs (" in held


def test_a_closed_night_is_judged_and_its_tasks_explained(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outcomes, missed objectives, causes and artifacts are told; hostile causes cannot act."""
    asyncio.run(queue(project))
    asyncio.run(open_night(project, close=True))
    out = read(capsys, project, "status")
    assert "Tasks: 1 accepted, 1 failed" in out
    assert "Objective missed: accepted_share is 0.5, wanted 0.7" in out
    shown = read(capsys, project, "show", "fm-1")
    assert "because: no \\u001b[31mtitle\\u202e" in shown
    assert "write\t1\tfailed" in shown
    assert "artifacts/night-1/x/write/001" in shown
    assert "review.peerA\t1\tswapped_metadata\tnot measured\tno \\u001b[31mtitle" in shown
    assert "\x1b" not in shown
    data = json.loads(read(capsys, project, "show", f"{BATCH}/fm-1", "--json"))
    assert (data["outcome"], data["nodes"][0]["state"]) == ("failed", "failed")
    assert data["attempts"][0]["artifacts"] == "artifacts/night-1/x/write/001"
    assert data["task"]["targets"] == ["docs/fm-1.md"]
    assert data["canaries"] == [CANARY], "what is no record of a canary is left out"


def test_an_ambiguous_name_is_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Both that fit are named."""
    asyncio.run(queue(project))
    capsys.readouterr()
    assert run(["-C", str(project.root), "show", "fm", "--json"]) == 2
    error = json.loads(capsys.readouterr().err)["error"]
    assert f"{BATCH}/fm-1, {BATCH}/fm-2" in error["message"]


def test_another_program_s_file_is_named(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """A database that is not ours is an error with its path, exit 4."""
    project.database.write_bytes(b"not a database, but long enough to look at" * 100)
    capsys.readouterr()
    assert run(["-C", str(project.root), "status"]) == 4
    assert "pantheon.db" in capsys.readouterr().err
