"""The night's repository on real git: the user's side stays exactly as it was."""

import asyncio
import json
from collections.abc import Awaitable
from pathlib import Path

import pytest

from pantheon.adapters.git import command
from pantheon.adapters.git.repository import NightRepository
from pantheon.core.errors import MergeConflictError
from pantheon.testing.clock import FakeClock
from pantheon.testing.user_repository import git


@pytest.fixture
def user(tmp_path: Path) -> Path:
    root = tmp_path / "user"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "a.md").write_bytes(b"alpha\r\nbeta\n")
    (root / "sub").mkdir()
    (root / "sub" / "b.md").write_bytes(b"one\ntwo\nthree\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "start")
    return root


async def open_repository(root: Path, tmp_path: Path) -> NightRepository:
    return await NightRepository.open(root, tmp_path / "state", trees=2, clock=FakeClock())


async def change(repository: NightRepository, commit: str, path: str, data: bytes) -> str:
    async with repository.work_tree(commit) as tree:
        tree.files.write_bytes(path, data)
        return await tree.commit(f"change {path}")


async def test_commit_holds_exact_bytes_and_the_user_sees_nothing(user: Path, tmp_path: Path) -> None:
    """Candidate commits leave refs, index, status and objects of the user's repository alone."""
    (user / "a.md").write_bytes(b"dirty")
    before = (git(user, "status", "--porcelain"), git(user, "show-ref"), (user / ".git/index").read_bytes())
    repository = await open_repository(user, tmp_path)
    base = await repository.resolve("HEAD")
    head = await change(repository, base, "sub/b.md", b"one\r\n2\n")
    assert await repository.read_file(head, "sub/b.md") == b"one\r\n2\n"
    assert await repository.read_file(head, "a.md") == b"alpha\r\nbeta\n"
    assert [tuple(c) for c in await repository.changed_paths(base, head)] == [
        ("M", "sub/b.md", "100644", "100644")
    ]
    assert before == (
        git(user, "status", "--porcelain"),
        git(user, "show-ref"),
        (user / ".git/index").read_bytes(),
    )
    assert (user / "a.md").read_bytes() == b"dirty"


async def test_unchanged_tree_commits_to_its_start(user: Path, tmp_path: Path) -> None:
    """A reader's output commit is its input commit."""
    repository = await open_repository(user, tmp_path)
    base = await repository.resolve("HEAD")
    async with repository.work_tree(base) as tree:
        assert await tree.commit("nothing") == base


async def test_pool_reuses_trees_and_cleans_what_an_attempt_left(user: Path, tmp_path: Path) -> None:
    """Nothing of one attempt is seen by the next one in the same tree, ignored files included."""
    repository = await NightRepository.open(user, tmp_path / "state", trees=1, clock=FakeClock())
    base = await repository.resolve("HEAD")
    async with repository.work_tree(base) as tree:
        tree.files.write_bytes(".gitignore", b"*.tmp\n")
        tree.files.write_bytes("left.tmp", b"x")
        tree.files.write_bytes("a.md", b"spoilt")
    async with repository.work_tree(base) as tree:
        assert tree.files.list_files() == ("a.md", "sub/b.md")
        assert tree.files.read_bytes("a.md") == b"alpha\r\nbeta\n"


async def test_torn_index_heals(user: Path, tmp_path: Path) -> None:
    """A killed git (stale lock, torn index) costs a fresh checkout, not the night."""
    repository = await NightRepository.open(user, tmp_path / "state", trees=1, clock=FakeClock())
    base = await repository.resolve("HEAD")
    async with repository.work_tree(base):
        pass
    (tmp_path / "state/trees/00.index").write_bytes(b"torn")
    (tmp_path / "state/trees/00.index.lock").write_bytes(b"")
    async with repository.work_tree(base) as tree:
        assert tree.files.list_files() == ("a.md", "sub/b.md")


async def test_merge_joins_and_conflicts(user: Path, tmp_path: Path) -> None:
    """Disjoint changes join; changes to one line are a named conflict."""
    repository = await open_repository(user, tmp_path)
    base = await repository.resolve("HEAD")
    left = await change(repository, base, "a.md", b"alpha\r\nleft\n")
    right = await change(repository, base, "sub/b.md", b"right\ntwo\nthree\n")
    joined = await repository.merge([left, right])
    assert await repository.read_file(joined, "a.md") == b"alpha\r\nleft\n"
    assert await repository.read_file(joined, "sub/b.md") == b"right\ntwo\nthree\n"
    assert await repository.merge([base, left]) == left
    other = await change(repository, base, "a.md", b"alpha\r\nother\n")
    with pytest.raises(MergeConflictError, match=r"a\.md") as refused:
        await repository.merge([left, other])
    assert refused.value.details == {"files": ["a.md"], "commits": [left, other]}


async def test_cancelled_git_leaves_no_process(user: Path, tmp_path: Path) -> None:
    """Cancelling a lease gives the tree back to the pool."""
    repository = await NightRepository.open(user, tmp_path / "state", trees=1, clock=FakeClock())
    base = await repository.resolve("HEAD")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), repository.work_tree(base):
            await asyncio.sleep(5)
    async with asyncio.timeout(10), repository.work_tree(base) as tree:
        assert tree.files.exists("a.md")


async def test_landed_commit_is_found_by_its_trailer(user: Path, tmp_path: Path) -> None:
    """The trailer tells a restarted night that a change has landed."""
    repository = await open_repository(user, tmp_path)
    base = await repository.resolve("HEAD")
    head = await change(repository, base, "a.md", b"1\n")
    landed = await repository.commit_tree_of(head, base, "Title\n\nPantheon-Task: b/t1\n")
    assert await repository.find_landed("pantheon/night-x", base, "Pantheon-Task", "b/t1") is None
    await repository.publish("pantheon/night-x", landed, old=None, base=base)
    assert await repository.find_landed("pantheon/night-x", base, "Pantheon-Task", "b/t1") == landed
    assert await repository.find_landed("pantheon/night-x", base, "Pantheon-Task", "b/t2") is None
    assert await repository.trailer_values(base, landed, "Pantheon-Task") == ("b/t1",)


async def test_many_files_are_read_and_searched_at_once(user: Path, tmp_path: Path) -> None:
    """Content with newlines and NULs comes back whole; what is not there is left out; a search is literal."""
    (user / "odd name.md").write_bytes(b"a\0b\n\nsee a.md (x)\n")
    git(user, "add", ".")
    git(user, "commit", "-q", "-m", "odd")
    repository = await open_repository(user, tmp_path)
    base = await repository.resolve("HEAD")
    found = await repository.read_files(base, ["a.md", "missing.md", "odd name.md", "sub", "sub/b.md"])
    assert found == {
        "a.md": b"alpha\r\nbeta\n",
        "odd name.md": b"a\0b\n\nsee a.md (x)\n",
        "sub/b.md": b"one\ntwo\nthree\n",
    }
    assert await repository.find_text(base, ["a.md (", "two"]) == ("odd name.md", "sub/b.md")
    assert await repository.find_text(base, ["a.*"]) == ()
    assert await repository.find_text(base, []) == ()


async def test_a_linked_work_tree_has_its_own_head(user: Path, tmp_path: Path) -> None:
    """The night starts from what is checked out where it was started."""
    git(user, "worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    (tmp_path / "linked" / "a.md").write_bytes(b"other\n")
    git(tmp_path / "linked", "commit", "-qam", "other")
    repository = await open_repository(tmp_path / "linked", tmp_path)
    base = await repository.resolve("HEAD")
    assert await repository.read_file(base, "a.md") == b"other\n"


async def test_a_repository_with_sha256_names(tmp_path: Path) -> None:
    """Commits with 64-digit names work and land like others."""
    root = tmp_path / "long"
    root.mkdir()
    git(root, "init", "-q", "-b", "main", "--object-format=sha256")
    (root / "a.md").write_bytes(b"alpha\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "start")
    repository = await open_repository(root, tmp_path)
    base = await repository.resolve("HEAD")
    head = await change(repository, base, "a.md", b"beta\n")
    await repository.publish("pantheon/night-x", head, old=None, base=base)
    assert git(root, "show", "pantheon/night-x:a.md") == "beta\n"
    assert len(head) == 64


async def test_a_shallow_clone_is_merged_and_searched(user: Path, tmp_path: Path) -> None:
    """Where history was cut off, what is not there is not looked for."""
    for number in range(3):
        (user / "a.md").write_bytes(b"%d\n" % number)
        git(user, "commit", "-qam", f"{number}")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{user}", str(clone))
    repository = await open_repository(clone, tmp_path)
    base = await repository.resolve("HEAD")
    left = await change(repository, base, "l.md", b"left\n")
    right = await change(repository, base, "r.md", b"right\n")
    joined = await repository.merge([left, right])
    assert await repository.list_files(joined) == ("a.md", "l.md", "r.md", "sub/b.md")
    landed = await repository.commit_tree_of(joined, base, "Title\n\nPantheon-Task: t\n")
    await repository.publish("pantheon/night-x", landed, old=None, base=base)
    assert await repository.find_landed("pantheon/night-x", base, "Pantheon-Task", "t") == landed
    git(clone, "fetch", "-q", "--unshallow")
    reopened = await open_repository(clone, tmp_path)
    assert await reopened.merge([left, right])


async def test_what_a_commit_and_a_landing_wrote_is_on_the_disk(
    user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power loss leaves no branch without its objects: git flushes each one that it writes."""
    repository = await open_repository(user, tmp_path)
    base = await repository.resolve("HEAD")
    told = tmp_path / "told"

    async def flushes(of: Awaitable[object]) -> int:
        told.write_bytes(b"")
        await of
        events = [json.loads(line) for line in told.read_text().splitlines()]
        return sum(int(event["value"]) for event in events if event.get("key") == "fsync/hardware-flush")

    environment = command.git_environment
    monkeypatch.setattr(
        command, "git_environment", lambda extra: {**environment(extra), "GIT_TRACE2_EVENT": str(told)}
    )
    assert await flushes(change(repository, base, "sub/b.md", b"new\n")) >= 4, "a file, two trees, a commit"
    head = await change(repository, base, "sub/b.md", b"new\n")
    assert await flushes(repository.publish("pantheon/night-x", head, old=None, base=base)) >= 5, (
        "and the branch"
    )


async def test_links_are_not_read_as_files(user: Path, tmp_path: Path) -> None:
    """The target of a symbolic link is no content, alone or among many; a long path is read."""
    long = "/".join(["n" * 200] * 8) + "/f.md"
    (user / "link.md").symlink_to("a.md")
    (user / long).parent.mkdir(parents=True)
    (user / long).write_bytes(b"deep")
    git(user, "add", "-A")
    git(user, "commit", "-qm", "link")
    repository = await open_repository(user, tmp_path)
    base = await repository.resolve("HEAD")
    assert await repository.read_file(base, "link.md") is None
    assert await repository.read_files(base, ["link.md", "sub/b.md", long]) == {
        "sub/b.md": b"one\ntwo\nthree\n",
        long: b"deep",
    }
