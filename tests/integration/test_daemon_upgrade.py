"""A daemon that was upgraded finds the work that the older version's store has, without anybody's help."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pantheon.adapters.store.migrations import APPLICATION_ID, load_migrations
from pantheon.core.daemon import Patience, Work
from pantheon.core.errors import StoreError
from pantheon.shell.cli.app import run
from pantheon.shell.config import Project, load_project
from pantheon.shell.daemon_wiring import ProjectNights, open_daemon
from pantheon.testing.user_repository import make_repository

BEFORE = 2
"""The schema of the version before."""
AT = "2026-11-20T22:00:00.000000+00:00"
LINE = '{"id":"%s","kind":"docops","goal":"a title","targets":["docs/%s.md"]}'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = make_repository(tmp_path / "r", {"a.md": b"x\n"})
    assert run(["-C", str(root), "init"]) == 0
    return load_project(root)


def write_older(path: Path) -> None:
    """Write a store as the version before left it: a night is open, and one more task waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.execute("PRAGMA journal_mode = WAL")
        for script in load_migrations()[:BEFORE]:
            store.executescript(script)
        store.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        store.execute(f"PRAGMA user_version = {BEFORE}")
        store.execute("INSERT INTO batches VALUES ('b', ?, '', 2, ?, 'queue/b')", ("1" * 64, AT))
        store.execute(
            "INSERT INTO nights VALUES ('n1', 'running', ?, 'pantheon/n1', ?, NULL, '{}')", ("2" * 40, AT)
        )
        for key, night in (("taken", "n1"), ("waiting", None)):
            store.execute(
                "INSERT INTO tasks VALUES (?, 'b', ?, '', ?, NULL, '')",
                (f"b/{key}", LINE % (key, key), night),
            )
        store.execute("INSERT INTO night_tasks VALUES ('n1', 'b/taken', NULL, '')")


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as store:
        return int(store.execute("PRAGMA user_version").fetchone()[0])


async def start_and_leave(project: Project) -> None:
    """Begin and end the daemon's service."""
    async with open_daemon(project, settings=(), patience=Patience(), tell=lambda _event, _text: None):
        pass


async def test_the_work_of_an_older_store_is_found(project: Project) -> None:
    """An open night and a task that waits, which a reader alone could not see."""
    write_older(project.database)
    nights = ProjectNights(project, ())
    with pytest.raises(StoreError, match="has schema 2"):
        await nights.look()
    await start_and_leave(project)
    assert await nights.look() == Work(tasks=1, open_night="n1")


async def test_a_store_that_it_cannot_use_keeps_no_daemon_from_serving(project: Project) -> None:
    """A newer version's is left as it is; looking at it says what is wrong."""
    write_older(project.database)
    with closing(sqlite3.connect(project.database)) as store:
        store.execute("PRAGMA user_version = 99")
    await start_and_leave(project)
    assert version_of(project.database) == 99
    with pytest.raises(StoreError, match="has schema 99"):
        await ProjectNights(project, ()).look()


async def test_before_the_first_batch_there_is_no_store_to_bring_up_to_date(project: Project) -> None:
    """A daemon makes none."""
    await start_and_leave(project)
    assert not project.database.exists()
