"""What is taken back, what is refused, and what a branch of the user's gets instead: told, never touched."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pantheon.adapters.git.history import open_history
from pantheon.core.errors import ConfigError, GitError, MergeConflictError
from pantheon.core.records import BatchRecord, NightRecord, TaskRecord
from pantheon.core.taken_back import UNDO_EVENT
from pantheon.engine.undo import Undoer
from pantheon.ports.history import History
from pantheon.testing.clock import FakeClock
from pantheon.testing.landed import LandedRepository
from pantheon.testing.store import FakeStore

BODY = b"".join(b"line %d\n" % number for number in range(30))


class Scene:
    """A night that landed two changes of one file and one of another."""

    def __init__(
        self, folder: Path, history: History, repository: LandedRepository, night: NightRecord
    ) -> None:
        self.repository, self.night, self.history = repository, night, history
        self.store = FakeStore(FakeClock())
        self.undoer = Undoer(history, self.store, FakeClock(), None, "me")
        self.folder = folder

    @property
    def tip(self) -> str:
        return self.repository.git("rev-parse", self.night.branch)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    repository = LandedRepository.make(tmp_path / "user", {"a.md": BODY, "b.md": b"b\n"})
    night = repository.night()
    repository.land(night, "b/one", {"a.md": b"title one\n" + BODY})
    repository.land(night, "b/other", {"b.md": None, "c.md": b"b\nmore\n"})
    repository.land(night, "b/two", {"a.md": b"title two\n" + BODY})
    async with open_history(repository.root, tmp_path / "state", FakeClock()) as history:
        made = Scene(tmp_path, history, repository, night)
        line = '{"kind": "docops", "goal": "g"}'
        records = [TaskRecord(key=f"b/{name}", batch="b", line=line) for name in ("one", "other", "two")]
        batch = BatchRecord(name="b", digest="0" * 64, lines=3, enqueued_at=FakeClock().now(), path="q")
        await made.store.add_batch(batch, records)
        await made.store.open_night(night, [one.key for one in records])
        yield made


async def test_a_rename_in_the_middle_is_taken_back(scene: Scene) -> None:
    """The file has its old name and content again; what landed after it stays."""
    done = await scene.undoer.undo(scene.night, "b/other", reason="no")
    git = scene.repository.git
    assert (done.result, done.undo) == ("undone", scene.tip)
    assert git("ls-tree", "-r", "--name-only", scene.tip).split() == ["a.md", "b.md"]
    assert git("show", f"{scene.tip}:a.md").startswith("title two")
    (event,) = await scene.store.events(scene.night.id, name=UNDO_EVENT)
    assert (event.subject, event.details["reason"], event.details["by"]) == ("b/other", "no", "me")


async def test_a_dry_run_does_nothing(scene: Scene) -> None:
    """No commit, no event."""
    before = scene.tip
    done = await scene.undoer.undo(scene.night, "b/two", reason="no", dry_run=True)
    assert (done.result, scene.tip) == ("would_undo", before)
    assert await scene.store.events(scene.night.id, name=UNDO_EVENT) == ()


async def test_said_twice_it_is_done_once(scene: Scene) -> None:
    """The second time names the first one's commit; a record that a crash prevented is made up for, once."""
    first = await scene.undoer.undo(scene.night, "b/two", reason="no")
    fresh = FakeStore(FakeClock())
    batch = BatchRecord(name="b", digest="0" * 64, lines=1, enqueued_at=FakeClock().now(), path="q")
    await fresh.add_batch(batch, [TaskRecord(key="b/two", batch="b", line="{}")])
    await fresh.open_night(scene.night, ["b/two"])
    again = Undoer(scene.history, fresh, FakeClock(), None, "me")
    for _ in range(2):
        second = await again.undo(scene.night, "b/two", reason="no")
        assert (second.result, second.undo, scene.tip) == ("undone_before", first.undo, first.undo)
    assert len(await fresh.events(scene.night.id, name=UNDO_EVENT)) == 1


async def test_what_later_changes_build_on_is_refused_by_their_names(scene: Scene) -> None:
    """Nothing moves; once the later one is taken back, it can be."""
    before = scene.tip
    with pytest.raises(MergeConflictError) as refused:
        await scene.undoer.undo(scene.night, "b/one", reason="no")
    assert "b/two" in refused.value.hint
    assert "b/other" not in refused.value.hint
    assert scene.tip == before
    await scene.undoer.undo(scene.night, "b/two", reason="no")
    assert (await scene.undoer.undo(scene.night, "b/one", reason="no")).result == "undone"
    assert scene.repository.git("show", f"{scene.tip}:a.md").startswith("line 0")


@pytest.mark.parametrize("how", ["merge", "cherry-pick", "squash"])
async def test_a_branch_of_the_users_is_never_touched(scene: Scene, how: str) -> None:
    """Once main has the change, by whatever way, the command is told, and it works; nothing has moved before."""
    git, night = scene.repository.git, scene.night
    if how == "merge":
        git("merge", "-q", "--no-edit", "--no-ff", night.branch)
    elif how == "cherry-pick":
        git("cherry-pick", f"{night.branch}~2", night.branch)
    else:
        git("merge", "-q", "--squash", night.branch)
        git("commit", "-q", "-m", "All of it\n\n" + git("log", "--format=%b", f"main..{night.branch}", "-1"))
    before = (scene.tip, git("rev-parse", "main"))
    done = await scene.undoer.undo(night, "b/two", reason="no")
    assert (done.result, done.where) == ("elsewhere", ("refs/heads/main",))
    assert (scene.tip, git("rev-parse", "main")) == before
    assert await scene.store.events(night.id, name=UNDO_EVENT) == ()
    (command,) = done.commands
    assert command.startswith("git switch main && git revert --no-edit ")
    if how != "squash":
        git(*command.rpartition("&& git ")[2].split())
        assert git("show", "main:a.md").startswith("title one")
        # Reverted there by hand, it is the night's branch's alone again.
        assert (await scene.undoer.undo(night, "b/two", reason="no", dry_run=True)).result == "would_undo"


async def test_a_branch_that_somebody_works_on_is_refused(scene: Scene) -> None:
    """A night's branch that is checked out does not move under anybody's feet."""
    scene.repository.git("worktree", "add", "-q", str(scene.folder / "wt"), scene.night.branch)
    before = scene.tip
    with pytest.raises(GitError, match="is checked out in"):
        await scene.undoer.undo(scene.night, "b/two", reason="no")
    assert scene.tip == before


async def test_a_branch_that_moves_meanwhile_is_looked_at_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night that lands something between the look and the swap loses nothing."""
    move, moved = scene.history.move, []

    async def late(branch: str, new: str, *, old: str | None, base: str) -> None:
        if not moved:
            moved.append(scene.repository.land(scene.night, "b/late", {"late.md": b"late\n"}))
        await move(branch, new, old=old, base=base)

    monkeypatch.setattr(scene.history, "move", late)
    done = await scene.undoer.undo(scene.night, "b/other", reason="no")
    assert done.result == "undone"
    assert "late.md" in scene.repository.git("ls-tree", "-r", "--name-only", scene.tip).split()


async def test_what_never_landed_cannot_be_taken_back(scene: Scene) -> None:
    """An unknown task, and a night whose branch is gone, are the caller's mistakes."""
    with pytest.raises(ConfigError, match="has landed nothing"):
        await scene.undoer.undo(scene.night, "b/none", reason="no")
    scene.repository.git("branch", "-D", scene.night.branch)
    with pytest.raises(ConfigError, match="no branch"):
        await scene.undoer.undo(scene.night, "b/two", reason="no")


async def test_nothing_is_left_behind(scene: Scene, tmp_path: Path) -> None:
    """The directory that a command works in is gone when it ends."""
    async with open_history(scene.repository.root, tmp_path / "other", FakeClock()):
        assert [one.name[:4] for one in (tmp_path / "other").iterdir()] == ["day-"]
    assert list((tmp_path / "other").iterdir()) == []


async def test_what_a_killed_command_left_is_swept(scene: Scene, tmp_path: Path) -> None:
    """A day later, by the next command; what is younger, or is called otherwise, stays."""
    state = tmp_path / "other"
    now = FakeClock().now().timestamp()
    for name, age_s in (("day-abcdefgh", 90_000), ("day-ijklmnop", 60), ("daylight", 90_000)):
        (state / name / "git").mkdir(parents=True)
        os.utime(state / name, (now - age_s, now - age_s))
    async with open_history(scene.repository.root, state, FakeClock()):
        pass
    assert sorted(one.name for one in state.iterdir()) == ["day-ijklmnop", "daylight"]
