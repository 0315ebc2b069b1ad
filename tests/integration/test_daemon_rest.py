"""What the daemon makes of a refused night, over the real store, the real files and a real second process's word."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pantheon.adapters.night_words import MAX_ENTRIES, RecordFile, RefusalFile
from pantheon.core.daemon import Work
from pantheon.core.daemon_judgement import Refusal
from pantheon.core.errors import ConfigError, ServerAwayError
from pantheon.core.window import WindowPolicy
from pantheon.shell.cli.app import run
from pantheon.shell.config import Project, load_project
from pantheon.shell.daemon_outlook import Outlook, Rules
from pantheon.shell.daemon_wiring import ProjectNights
from pantheon.shell.wiring import look_into_store, open_project_store
from pantheon.testing.qualified import qualify_project
from pantheon.testing.user_repository import make_repository

OPENS = datetime(2026, 11, 20, 22, tzinfo=UTC)
WINDOW = WindowPolicy.model_validate({"start": "22:00", "end": "06:00"})


class Unseen:
    """A daemon's memory that keeps nothing."""

    async def last_seen(self) -> datetime | None:
        return None

    async def keep_last_seen(self, now: datetime) -> None:
        pass


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    root = make_repository(tmp_path / "r", {"a.md": b"x\n"})
    assert run(["-C", str(root), "init"]) == 0
    return load_project(root)


async def write_and_leave(project: Project) -> None:
    """Do to the store what a night does that is refused: open it to write, find the reason, close it."""
    async with open_project_store(project, write=True) as store:
        await store.nights()


async def outlook_of(project: Project) -> tuple[Outlook, list[str]]:
    said: list[str] = []

    async def rules() -> Rules:
        return Rules(WINDOW, UTC)

    outlook = Outlook(ProjectNights(project, ()), Unseen(), rules, lambda _, text: said.append(text))
    await outlook.open()
    return outlook, said


async def test_a_look_at_the_store_is_no_change_of_it(project: Project) -> None:
    """After a refusal the daemon's own looks, and those of anybody who only reads, leave the hour's rest in force."""
    await write_and_leave(project)
    (project.queue / "b1.attestation.json").write_bytes(b"{}\n")
    outlook, _ = await outlook_of(project)
    found = await outlook.look(OPENS)
    assert found == Work(unread=1)
    await write_and_leave(project)
    await outlook.judge(3, found, now=OPENS, asked=False)
    assert outlook.rest is not None
    for minute in range(1, 5):
        async with look_into_store(project) as store:
            assert store is not None
            await store.nights()
        await outlook.notice_changes(OPENS + timedelta(minutes=minute))
        assert outlook.rest is not None, f"lost in minute {minute}"
        assert outlook.rest.until == OPENS + timedelta(hours=1)
    (project.queue / "b2.attestation.json").write_bytes(b"{}\n")
    await outlook.notice_changes(OPENS + timedelta(minutes=5))
    assert outlook.rest is None, "a new batch is a change"


async def test_a_night_whose_model_server_does_not_answer_says_so_to_its_daemon(project: Project) -> None:
    """A real process is refused with 3 and leaves the word by which its daemon knows that waiting is all it takes."""
    config = project.root / "pantheon.toml"
    config.write_text(f"[endpoint]\nkind = 'openai'\nuds = '{project.root.parent / 'm.sock'}'\n")
    qualify_project(project.root)
    nights = ProjectNights(load_project(project.root), ())
    child = await nights.start(None, left_before=datetime.now(UTC))
    assert await child.wait() == 3
    said = await nights.last_word(child.pid)
    assert said is not None
    assert said.is_server_away
    assert "does not answer" in str(said)
    assert await nights.last_word(child.pid + 1) is None, "another process's word is not this night's"


def test_a_word_is_left_by_the_error_that_passes_through(tmp_path: Path) -> None:
    """One error or a group of them; and it goes on its way."""
    path = tmp_path / "refusal.json"
    with pytest.raises(ConfigError), RefusalFile(path).kept():
        raise ConfigError("a.toml: wrong\n  twice", hint="Mend it.")
    assert RefusalFile(path)._take(os.getpid()) == Refusal("config", "a.toml: wrong\n  twice", "Mend it.")
    with pytest.raises(ExceptionGroup), RefusalFile(path).kept():
        raise ExceptionGroup("two", [ValueError("one"), ExceptionGroup("in", [ServerAwayError("away")])])
    assert RefusalFile(path)._take(os.getpid()) == Refusal("server_away", "away")
    path.write_bytes(b'{"pid": [')
    assert RefusalFile(path)._take(os.getpid()) is None


async def test_the_record_counts_what_is_said_again_and_stays_small(tmp_path: Path) -> None:
    """Forty refusals are one line with both ends; ever new ones push out the oldest; nothing breaks a line."""
    record = RecordFile(tmp_path / "daemon.txt")
    for minute in range(40):
        await record.add(f"2026-11-20 22:{minute:02} CET", "the model server\n  does not answer")
    await record.add("2026-11-20 23:00 CET", "another")
    _, first, second = (tmp_path / "daemon.txt").read_text().splitlines()
    assert first == (
        "2026-11-20 22:00 CET to 2026-11-20 22:39 CET, 40 times  the model server does not answer"
    )
    assert second == "2026-11-20 23:00 CET  another"
    (tmp_path / "daemon.txt").write_text(
        "".join(f"2026-11-20 22:00 CET  {number}\n" for number in range(MAX_ENTRIES + 50))
    )
    await record.add("2026-11-21 22:00 CET", "newest\u202e")
    head, *entries = (tmp_path / "daemon.txt").read_text().splitlines()
    assert len(entries) == MAX_ENTRIES
    assert "\u202e" not in entries[-1]
    assert "remove it" in head
