"""What ``pantheon capacity`` counts of a queue that a night of the window, open now, has left part of."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from pantheon.adapters.store import open_store
from pantheon.core.capacity_window import Part, Tonight
from pantheon.core.records import BatchRecord, NightRecord, TaskOutcome, TaskRecord
from pantheon.shell.capacity_wiring import read_outlook
from pantheon.shell.cli.app import run
from pantheon.shell.config import Project, load_project
from pantheon.testing.clock import FakeClock
from pantheon.testing.user_repository import make_repository

BATCH = "fedcba987654"
LEFT, NEEDING, NEW = (f"{BATCH}/{name}" for name in ("left", "needing", "new"))
OPENS = FakeClock().now()
BEGAN = OPENS + timedelta(hours=1)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = make_repository(tmp_path / "r", {"a.md": b"x\n"})
    assert run(["-C", str(root), "init"]) == 0
    return load_project(root)


def record(key: str, *needs: str) -> TaskRecord:
    name = key.rpartition("/")[2]
    line = {"id": name, "kind": "docops", "goal": "a title", "targets": [f"docs/{name}.md"], "needs": needs}
    return TaskRecord(key=key, batch=BATCH, line=json.dumps(line))


async def leave_one(project: Project) -> None:
    """Three tasks: a night of the window reached its budget before the first; one needs that, one is new."""
    store = await open_store(project.database, FakeClock(BEGAN), write=True)
    try:
        batch = BatchRecord(name=BATCH, digest="1" * 64, lines=3, enqueued_at=BEGAN, path="queue/x")
        await store.add_batch(batch, [record(LEFT), record(NEEDING, "left"), record(NEW)])
        night = NightRecord(id="n1", base_commit="2" * 40, branch="pantheon/n1", started_at=BEGAN)
        await store.open_night(night, [LEFT])
        await store.finish_task("n1", LEFT, TaskOutcome.NOT_REACHED, "the night's budget was reached")
        await store.close_night("n1", {}, carry=[LEFT])
    finally:
        await store.aclose()


@pytest.mark.parametrize(
    ("part", "opens_h", "counted"), [(Part.LEFT, 0, 1), (Part.LEFT, 24, 3), (Part.NEXT, 24, 3)]
)
async def test_what_the_daemon_leaves_is_no_part_of_the_window(
    project: Project, part: Part, opens_h: int, counted: int
) -> None:
    """Neither is what needs it. In the next window all of it is, and in an outlook on that one."""
    await leave_one(project)
    opens = OPENS + timedelta(hours=opens_h)
    tonight = Tonight(
        part=part, length_s=7_200, starting_s=7_200, later_s=28_800, opens_at=opens, closes_at=None
    )
    assert (await read_outlook(project, slots={"model": 1}, tonight=tonight)).tasks == counted
