"""Pooled work trees: what a lease finds and what a commit holds, whatever came before."""

import os
import random
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.pooled_tree import PooledTree
from pantheon.adapters.git.repository import NightRepository
from pantheon.core.errors import GitError, ToolError
from pantheon.testing.clock import FakeClock
from pantheon.testing.user_repository import git, make_repository

Snapshot = dict[str, tuple[str, bytes]]


def on_disk(root: Path) -> Snapshot:
    """Return path -> (mode, content) of everything below, empty folders too."""
    found: Snapshot = {}
    for folder, folders, names in os.walk(root):
        base = Path(folder)
        if not folders and not names and base != root:
            found[str(base.relative_to(root))] = ("040000", b"")
        for name in (*names, *(one for one in folders if (base / one).is_symlink())):
            path = base / name
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                found[str(path.relative_to(root))] = ("120000", os.fsencode(os.readlink(path)))
            else:
                executable = "100755" if mode & 0o100 else "100644"
                found[str(path.relative_to(root))] = (executable, path.read_bytes())
    return found


def in_commit(own: Path, commit: str) -> Snapshot:
    """Return the same for a commit."""
    found: Snapshot = {}
    for line in git(own, "ls-tree", "-r", "-z", commit).split("\0")[:-1]:
        meta, path = line.split("\t", 1)
        mode, kind, name = meta.split(" ")
        if kind == "commit":
            found[path] = ("040000", b"")
            continue
        data = subprocess.run(["git", "cat-file", "blob", name], cwd=own, check=True, capture_output=True)
        found[path] = (mode, data.stdout)
    return found


class Count:
    """Counts git's processes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        run = GitRunner.run

        async def counted(runner: GitRunner, *args: str, **more: object) -> tuple[int, bytes]:
            self.names.append(args[0])
            return await run(runner, *args, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(GitRunner, "run", counted)

    def take(self) -> list[str]:
        taken, self.names = self.names, []
        return taken


async def open_pool(root: Path, tmp_path: Path, trees: int = 1) -> NightRepository:
    return await NightRepository.open(root, tmp_path / "state", trees=trees, clock=FakeClock())


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A repository whose second commit changes every kind of entry into another."""
    root = make_repository(
        tmp_path / "user",
        {
            "a.md": b"a", "docs/b.md": b"b", "docs/deep/c.md": b"c",
            "swap": b"file", "turn/x.md": b"x", 'odd "é\t.md': b"o",
        },
    )  # fmt: skip
    (root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (root / "link").symlink_to("docs")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "more")
    (root / "swap").unlink()
    (root / "swap").mkdir()
    (root / "swap/y.md").write_bytes(b"y")
    (root / "turn/x.md").unlink()
    (root / "turn").rmdir()
    (root / "turn").write_bytes(b"now a file")
    (root / "link").unlink()
    (root / "link").mkdir()
    (root / "link/b.md").write_bytes(b"not through the link")
    (root / "docs/b.md").unlink()
    (root / "docs/b.md").symlink_to("/etc/passwd")
    (root / "run.sh").chmod(0o755)
    git(root, "add", "-A")
    git(root, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor/lib")
    git(root, "commit", "-q", "-m", "swapped")
    return root


async def test_a_lease_equals_its_commit_whatever_came_before(user: Path, tmp_path: Path) -> None:
    """Random tools on random commits, in one tree: each lease is its commit, each commit is the folder."""
    chance = random.Random(7)
    repository = await open_pool(user, tmp_path)
    commits = [await repository.resolve(name) for name in ("HEAD~2", "HEAD~1", "HEAD")]
    names = ("a.md", "docs/b.md", "docs/deep/c.md", "swap", "swap/y.md", "turn", "turn/x.md", "link", "link/b.md",
             "new/one.md", "new", "vendor/lib/f.md", "vendor/lib", 'q "é.md', "a.md/under", "odd \"é\t.md")  # fmt: skip
    folder, own = tmp_path / "state/trees/00", tmp_path / "state/git"
    for _ in range(60):
        start = chance.choice(commits)
        async with repository.work_tree(start) as tree:
            assert on_disk(folder) == in_commit(own, start)
            for _ in range(chance.randrange(5)):
                try:
                    if chance.random() < 0.5:
                        tree.files.write_bytes(chance.choice(names), b"%d" % chance.randrange(3))
                    else:
                        tree.files.move(chance.choice(names), chance.choice(names))
                except ToolError:
                    continue
            if chance.random() < 0.7:
                commit = await tree.commit("Change\n")
                held = {path: what for path, what in on_disk(folder).items() if what[0] != "040000"}
                kept = {path: what for path, what in in_commit(own, commit).items() if what[0] != "040000"}
                assert held == kept
                assert (commit == start) == (in_commit(own, commit) == in_commit(own, start))
                commits = [*commits[-7:], commit]
    git(own, "fsck", "--no-dangling")


async def test_a_node_costs_few_processes_and_looks_at_no_other_file(
    user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader on the same commit costs none, a commit one, another commit two."""
    repository = await open_pool(user, tmp_path)
    head, before = await repository.resolve("HEAD"), await repository.resolve("HEAD~1")
    async with repository.work_tree(head):
        pass
    count = Count(monkeypatch)
    async with repository.work_tree(head) as tree:
        assert await tree.commit("nothing") == head
    assert count.take() == []
    async with repository.work_tree(head) as tree:
        tree.files.write_bytes("a.md", b"new")
        changed = await tree.commit("one")
    assert count.take() == ["fast-import"]
    async with repository.work_tree(changed) as tree:
        assert tree.files.read_bytes("a.md") == b"new"
    assert count.take() == []
    async with repository.work_tree(before):
        assert count.take() == ["diff-tree", "cat-file"]


async def test_a_free_tree_that_stands_there_already_is_preferred(user: Path, tmp_path: Path) -> None:
    """Nodes of one task follow each other in one tree, those of another in another."""
    repository = await open_pool(user, tmp_path, trees=2)
    head, before = await repository.resolve("HEAD"), await repository.resolve("HEAD~1")
    async with repository.work_tree(head) as one, repository.work_tree(before) as two:
        pass
    for _ in range(2):
        async with repository.work_tree(head) as tree:
            assert tree is one
        async with repository.work_tree(before) as tree:
            assert tree is two


async def test_nothing_a_process_wrote_is_missed_once_it_had_the_folder(user: Path, tmp_path: Path) -> None:
    """Same size, same times, ignored, executable, deleted: all of it is in the commit, none in the next lease."""
    repository = await open_pool(user, tmp_path)
    head = await repository.resolve("HEAD")
    async with repository.work_tree(head) as tree:
        assert isinstance(tree, PooledTree)
        root = tree.folder
        told = (root / "a.md").stat()
        (root / "a.md").write_bytes(b"A")
        os.utime(root / "a.md", ns=(told.st_atime_ns, told.st_mtime_ns))
        (root / ".gitignore").write_bytes(b"*\n")
        (root / "ignored.tmp").write_bytes(b"i")
        (root / "docs/deep/c.md").unlink()
        (root / "run.sh").chmod(0o644)
        (root / "shut").mkdir()
        (root / "shut/in.md").write_bytes(b"s")
        (root / "docs/.git").mkdir()
        (root / "docs/.git/config").write_bytes(b"[core]\n\tfsmonitor = evil\n")
        (root / ".git").write_bytes(b"gitdir: /elsewhere\n")
        commit = await tree.commit("whole")
    kept = in_commit(tmp_path / "state/git", commit)
    assert kept["a.md"] == ("100644", b"A")
    assert {".gitignore", "ignored.tmp", "shut/in.md", "vendor/lib"} <= kept.keys()
    assert "docs/deep/c.md" not in kept
    assert kept["run.sh"][0] == "100644"
    (root / "shut").chmod(0)
    async with repository.work_tree(head):
        assert on_disk(root) == in_commit(tmp_path / "state/git", head)
        assert not list(root.rglob(".git"))


async def test_a_tool_cannot_write_after_its_lease(user: Path, tmp_path: Path) -> None:
    """Files that were lent before refuse to write into the tree of the next attempt."""
    repository = await open_pool(user, tmp_path)
    head = await repository.resolve("HEAD")
    async with repository.work_tree(head) as tree:
        late = tree.files
    async with repository.work_tree(head) as tree:
        with pytest.raises(ToolError, match="given back"):
            late.write_bytes("a.md", b"late")
        with pytest.raises(ToolError, match="given back"):
            late.move("a.md", "b.md")
        assert await tree.commit("nothing") == head
    with pytest.raises(GitError, match="ended"):
        await tree.commit("late")


async def test_a_tree_that_somebody_deleted_is_made_again(user: Path, tmp_path: Path) -> None:
    """The folder, its index, and something in the way of a file."""
    repository = await open_pool(user, tmp_path)
    head, before = await repository.resolve("HEAD"), await repository.resolve("HEAD~1")
    folder = tmp_path / "state/trees/00"
    async with repository.work_tree(head):
        pass
    shutil.rmtree(folder)
    async with repository.work_tree(head):
        assert on_disk(folder) == in_commit(tmp_path / "state/git", head)
    (folder / "turn").unlink()
    (folder / "turn/x.md/in the way").mkdir(parents=True)
    async with repository.work_tree(before):
        assert on_disk(folder) == in_commit(tmp_path / "state/git", before)


async def test_a_commit_that_is_not_there_costs_no_tree(user: Path, tmp_path: Path) -> None:
    """The next lease works, and the index of a large repository is not thrown away for it."""
    repository = await open_pool(user, tmp_path)
    head = await repository.resolve("HEAD")
    async with repository.work_tree(head):
        index = (tmp_path / "state/trees/00.index").stat().st_ino
    with pytest.raises(GitError):
        async with repository.work_tree("2" * 40):
            pass
    assert (tmp_path / "state/trees/00.index").stat().st_ino == index
    async with repository.work_tree(head):
        assert on_disk(tmp_path / "state/trees/00") == in_commit(tmp_path / "state/git", head)


async def test_every_path_can_be_deleted(user: Path, tmp_path: Path) -> None:
    """A commit without any file is a commit."""
    repository = await open_pool(user, tmp_path)
    head = await repository.resolve("HEAD")
    async with repository.work_tree(head) as tree:
        assert isinstance(tree, PooledTree)
        for path in tree.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        empty = await tree.commit("empty")
    assert in_commit(tmp_path / "state/git", empty).keys() <= {"vendor/lib"}
    async with repository.work_tree(empty) as tree:
        tree.files.write_bytes("a.md", b"1")
        assert in_commit(tmp_path / "state/git", await tree.commit("one"))["a.md"] == ("100644", b"1")
