"""The night's own git directory deleted, torn or of another kind: made again, and what went with it is named."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog.testing

from pantheon.adapters.git.repository import NightRepository
from pantheon.core.errors import CommitLostError, MergeConflictError
from pantheon.testing.clock import FakeClock
from pantheon.testing.user_repository import git, make_repository


def delete(own: Path) -> None:
    shutil.rmtree(own)


def tear_head(own: Path) -> None:
    (own / "HEAD").write_bytes(b"")


def tear_config(own: Path) -> None:
    (own / "config").write_bytes(b"[core\n\0")


def lose_objects(own: Path) -> None:
    shutil.rmtree(own / "objects")


def replace_by_a_file(own: Path) -> None:
    shutil.rmtree(own)
    own.write_bytes(b"")


@pytest.fixture
def user(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "user", {"a.md": b"a\n", "b.md": b"b\n"})


async def open_repository(user: Path, tmp_path: Path) -> NightRepository:
    return await NightRepository.open(user, tmp_path / "state", trees=1, clock=FakeClock())


async def change(repository: NightRepository, commit: str, data: bytes) -> str:
    async with repository.work_tree(commit) as tree:
        tree.files.write_bytes("a.md", data)
        return await tree.commit("change")


@pytest.mark.parametrize("harm", [delete, tear_head, tear_config, lose_objects, replace_by_a_file])
async def test_a_damaged_directory_is_made_again(
    user: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """The user's commits are all there; a candidate that is gone is told apart from a conflict; work goes on."""
    repository = await open_repository(user, tmp_path)
    base = await repository.resolve("HEAD")
    lost = await change(repository, base, b"lost\n")
    harm(tmp_path / "state/git")
    with structlog.testing.capture_logs() as logs:
        repository = await open_repository(user, tmp_path)
    assert [one["event"] for one in logs] == ([] if harm is delete else ["git_directory_set_aside"])
    for use in (
        lambda: repository.merge([base, lost]),
        lambda: repository.merge([lost]),
        lambda: repository.tree_of(lost),
        lambda: repository.read_file(lost, "a.md"),
        lambda: change(repository, lost, b"x"),
        lambda: repository.publish("pantheon/night-x", lost, old=None, base=base),
    ):
        with pytest.raises(CommitLostError, match=lost):
            await use()
    again = await change(repository, base, b"lost\n")
    assert await repository.read_file(again, "a.md") == b"lost\n"
    await repository.publish("pantheon/night-x", again, old=None, base=base)
    assert git(user, "fsck", "--no-dangling") == ""


async def test_a_directory_lost_in_the_middle_of_a_night_is_named(user: Path, tmp_path: Path) -> None:
    """Not a conflict, not an empty answer."""
    repository = await open_repository(user, tmp_path)
    base = await repository.resolve("HEAD")
    one, two = await change(repository, base, b"1\n"), await change(repository, base, b"2\n")
    with pytest.raises(MergeConflictError):
        await repository.merge([one, two])
    shutil.rmtree(tmp_path / "state/git")
    for use in (
        lambda: repository.merge([one, two]),
        lambda: repository.list_files(one),
        lambda: repository.find_text(one, ["1"]),
    ):
        with pytest.raises(CommitLostError):
            await use()


async def test_an_object_that_a_power_loss_emptied_is_written_again(user: Path, tmp_path: Path) -> None:
    """git trusts that a file which is there holds its object; the same change would be lost for ever."""
    repository = await open_repository(user, tmp_path)
    base = await repository.resolve("HEAD")
    commit = await change(repository, base, b"new\n")
    emptied = [path for path in (tmp_path / "state/git/objects").glob("??/*") if path.is_file()]
    assert emptied
    for path in emptied:
        path.chmod(0o644)
        path.write_bytes(b"")
    with structlog.testing.capture_logs() as logs:
        repository = await open_repository(user, tmp_path)
    assert [(one["event"], one["count"]) for one in logs] == [("torn_git_objects_removed", len(emptied))]
    with pytest.raises(CommitLostError):
        await repository.tree_of(commit)
    assert await change(repository, base, b"new\n") == commit
    assert await repository.read_file(commit, "a.md") == b"new\n"


async def test_what_a_killed_git_left_goes_when_it_is_old(user: Path, tmp_path: Path) -> None:
    """Packs that were never finished do not fill the disk; what may be at work now is left alone."""
    await open_repository(user, tmp_path)
    own = tmp_path / "state/git"
    old, new = own / "objects/pack/tmp_pack_old", own / "objects/pack/tmp_pack_new"
    (own / "objects/pack").mkdir(exist_ok=True)
    now = FakeClock().now().timestamp()
    for path, age in ((old, 200_000), (new, 100)):
        path.write_bytes(b"half")
        os.utime(path, (now - age, now - age))
    await open_repository(user, tmp_path)
    assert not old.exists()
    assert new.exists()


async def test_a_repository_that_became_another_kind_gets_a_directory_of_its_kind(
    user: Path, tmp_path: Path
) -> None:
    """From 40-digit names to 64-digit ones."""
    await open_repository(user, tmp_path)
    shutil.rmtree(user)
    git(tmp_path, "init", "-q", "--object-format=sha256", str(user))
    (user / "a.md").write_bytes(b"a\n")
    git(user, "add", ".")
    git(user, "commit", "-qm", "start")
    repository = await open_repository(user, tmp_path)
    assert len(await change(repository, await repository.resolve("HEAD"), b"2\n")) == 64
