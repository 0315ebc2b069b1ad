"""What every repository must do, as a pytest suite.

A repository's own test file subclasses ``RepositoryContract`` and gives two fixtures: ``repository``, whose ``HEAD``
holds ``START``, and ``user``, the person who works in the same repository.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pantheon.core.errors import GitError, MergeConflictError, ToolError
from pantheon.ports.worktree import ChangedPath, Repository
from pantheon.testing.landing_contract import LandingContract
from pantheon.testing.repository_start import BRANCH, MISSING, START, change, edited, move


class RepositoryContract(LandingContract):
    """The promises of ``ports.worktree.Repository`` and ``WorkTree``."""

    async def test_a_commit_is_found_by_name_and_by_id(self, repository: Repository) -> None:
        """``HEAD`` is what the user works on; an id is itself."""
        head = await repository.resolve("HEAD")
        assert await repository.resolve(head) == head
        for wrong in (MISSING, "no-such-branch", "--all", "", "a\nb"):
            with pytest.raises(GitError):
                await repository.resolve(wrong)

    async def test_a_work_tree_stands_at_its_commit(self, repository: Repository) -> None:
        """Every file, byte for byte; without a change it commits to its start."""
        head = await repository.resolve("HEAD")
        async with repository.work_tree(head) as tree:
            assert {path: tree.files.read_bytes(path) for path in tree.files.list_files()} == START
            assert await tree.commit("nothing") == head
            tree.files.write_bytes("a.md", START["a.md"])
            assert await tree.commit("the same bytes") == head

    async def test_a_commit_holds_the_tree_as_it_is(self, repository: Repository) -> None:
        """New, changed and moved files; what was done after the commit is in the next one only."""
        head = await repository.resolve("HEAD")
        async with repository.work_tree(head) as tree:
            tree.files.write_bytes("new/n.md", b"n")
            tree.files.write_bytes(".gitignore", b"*\n")
            tree.files.move("docs/deep/c.md", "c.md")
            first = await tree.commit("first")
            tree.files.write_bytes("a.md", b"later")
            second = await tree.commit("second")
        kept = {**START, "new/n.md": b"n", ".gitignore": b"*\n", "c.md": START["docs/deep/c.md"]}
        del kept["docs/deep/c.md"]
        assert await repository.read_files(first, [*kept, "docs/deep/c.md"]) == kept
        assert await repository.read_files(second, list(kept)) == {**kept, "a.md": b"later"}
        assert await repository.read_file(head, "a.md") == START["a.md"]

    async def test_nothing_of_one_lease_is_seen_by_the_next(self, repository: Repository) -> None:
        """Neither files nor folders that were never committed, whether the lease ended well or not."""
        head = await repository.resolve("HEAD")
        with pytest.raises(ToolError):
            async with repository.work_tree(head) as tree:
                tree.files.write_bytes("left/behind.md", b"x")
                tree.files.write_bytes("a.md", b"spoilt")
                tree.files.move("empty.md", "moved.md")
                tree.files.read_bytes("none.md")
        async with repository.work_tree(head) as tree:
            assert tree.files.list_files() == tuple(sorted(START))
            assert tree.files.read_bytes("a.md") == START["a.md"]
            assert not tree.files.exists("left")

    async def test_leases_at_one_time_are_apart(self, repository: Repository) -> None:
        """Two work trees never share a file."""
        head = await repository.resolve("HEAD")
        async with repository.work_tree(head) as one, repository.work_tree(head) as two:
            one.files.write_bytes("a.md", b"one")
            two.files.write_bytes("a.md", b"two")
            commits = await one.commit("one"), await two.commit("two")
        assert [await repository.read_file(commit, "a.md") for commit in commits] == [b"one", b"two"]

    async def test_a_cancelled_lease_gives_its_tree_back(self, repository: Repository) -> None:
        """As often as one likes."""
        head = await repository.resolve("HEAD")
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), repository.work_tree(head):
                    await asyncio.sleep(5)
        async with asyncio.timeout(20), repository.work_tree(head) as tree:
            assert tree.files.list_files() == tuple(sorted(START))

    async def test_a_difference_names_every_path(self, repository: Repository) -> None:
        """Sorted, with status and modes; a move is a deletion and an addition; none between equals."""
        head = await repository.resolve("HEAD")
        changed = await change(repository, head, "a.md", b"1\n")
        moved = await move(repository, changed, "docs/b.md", "z.md")
        assert await repository.changed_paths(head, moved) == (
            ChangedPath("M", "a.md", "100644", "100644"),
            ChangedPath("D", "docs/b.md", "100644", "000000"),
            ChangedPath("A", "z.md", "000000", "100644"),
        )
        assert await repository.changed_paths(head, head) == ()
        text = await repository.diff(head, changed)
        assert b"a.md" in text
        assert b"\n+1\n" in text
        assert b"\n-beta\n" in text
        assert b"z.md" in await repository.diff(head, moved)
        assert await repository.diff(head, head) == b""

    async def test_changes_apart_from_each_other_merge(self, repository: Repository) -> None:
        """Other files, and lines of one file that are not neighbours; one side may be ahead already."""
        head = await repository.resolve("HEAD")
        left = await change(repository, head, "docs/b.md", edited(1, b"left\n"))
        right = await change(repository, head, "docs/b.md", edited(9, b"right\n"))
        third = await change(repository, head, "new.md", b"new\n")
        merged = await repository.merge([left, right, third])
        both = edited(1, b"left\n").replace(b"line 9\n", b"right\n")
        assert await repository.read_files(merged, ["docs/b.md", "new.md"]) == {
            "docs/b.md": both,
            "new.md": b"new\n",
        }
        assert await repository.merge([left]) == left
        assert await repository.merge([left, left, left]) == left
        assert await repository.merge([head, left]) == left
        assert await repository.merge([left, head]) == left
        assert await repository.merge([left, merged]) == merged
        same = await repository.merge(
            [left, await change(repository, head, "docs/b.md", edited(1, b"left\n"), "2\n")]
        )
        assert await repository.tree_of(same) == await repository.tree_of(left)

    async def test_changes_against_each_other_conflict_by_path(self, repository: Repository) -> None:
        """One line twice, a deletion against a change, two new files of one name, a file against a folder."""
        head = await repository.resolve("HEAD")
        one = await change(repository, head, "docs/b.md", edited(5, b"one\n"))
        two = await change(repository, head, "docs/b.md", edited(5, b"two\n"))
        added = [await change(repository, head, "new.md", text) for text in (b"this\n", b"that\n")]
        for pair, path in (((one, two), r"docs/b\.md"), (added, r"new\.md")):
            with pytest.raises(MergeConflictError, match=path):
                await repository.merge(pair)
        below = await change(repository, head, "thing/x.md", b"x\n")
        beside = await change(repository, head, "thing", b"t\n")
        with pytest.raises(MergeConflictError, match="thing"):
            await repository.merge([below, beside])

    async def test_content_is_read_at_any_commit(self, repository: Repository) -> None:
        """Whole and as it is; what is not there, or no file, is None or left out."""
        head = await repository.resolve("HEAD")
        odd = [
            "none.md",
            "docs",
            "docs/",
            "",
            "../a.md",
            "./a.md",
            "/a.md",
            "a.md/x",
            "x\ny",
            "*.md",
            ":(top)a.md",
        ]
        assert {path: await repository.read_file(head, path) for path in START} == START
        assert [await repository.read_file(head, path) for path in odd] == [None] * len(odd)
        assert await repository.read_files(head, [*odd, *START, "a.md"]) == START
        assert await repository.read_files(head, []) == {}
        assert await repository.read_files(head, [f"{number}.md" for number in range(1000)]) == {}
        assert await repository.list_files(head) == tuple(sorted(START))

    async def test_a_search_is_literal_and_sees_every_file(self, repository: Repository) -> None:
        """Letters, never a pattern; binary files too; sorted."""
        head = await repository.resolve("HEAD")
        assert await repository.find_text(head, ["a.md (", "alpha"]) == ("a.md", "docs/deep/c.md")
        assert await repository.find_text(head, ["a.*"]) == ()
        assert await repository.find_text(head, ["-e", "ALPHA"]) == ()
        assert await repository.find_text(head, []) == ()
        many = [f"no such text in any file of the repository, number {number}" for number in range(4000)]
        assert await repository.find_text(head, [*many, "alpha"]) == ("a.md",)

    async def test_a_commit_that_is_not_there_is_a_git_error(self, repository: Repository) -> None:
        """By every method; it is never taken for a conflict, nor for an empty answer."""
        head = await repository.resolve("HEAD")

        async def lease() -> None:
            async with repository.work_tree(MISSING):
                pass

        uses: tuple[Callable[[], Awaitable[object]], ...] = (
            lease,
            lambda: repository.diff(head, MISSING),
            lambda: repository.changed_paths(MISSING, head),
            lambda: repository.merge([head, MISSING]),
            lambda: repository.merge([MISSING]),
            lambda: repository.read_file(MISSING, "a.md"),
            lambda: repository.read_files(MISSING, ["a.md"]),
            lambda: repository.find_text(MISSING, ["a"]),
            lambda: repository.list_files(MISSING),
            lambda: repository.commit_tree_of(MISSING, head, "m"),
            lambda: repository.commit_tree_of(head, MISSING, "m"),
            lambda: repository.tree_of(MISSING),
            lambda: repository.trailer_values(MISSING, head, "Key"),
            lambda: repository.publish(BRANCH, MISSING, old=None, base=head),
        )
        for use in uses:
            with pytest.raises(GitError) as caught:
                await use()
            assert not isinstance(caught.value, MergeConflictError)
        assert await repository.branch(BRANCH) is None
