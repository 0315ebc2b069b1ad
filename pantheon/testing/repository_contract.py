"""What every repository must do, as a pytest suite.

A repository's own test file subclasses ``RepositoryContract`` and gives two fixtures: ``repository``, whose ``HEAD``
holds ``START``, and ``user``, the person who works in the same repository.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from pantheon.core.errors import GitError, MergeConflictError, ToolError
from pantheon.ports.worktree import ChangedPath, Repository

START = {
    "a.md": b"alpha\r\nbeta\n",
    "docs/b.md": b"".join(b"line %d\n" % number for number in range(12)),
    "docs/deep/c.md": b"see a.md (x)\n\n\0\xff",
    "empty.md": b"",
}
MISSING = "0123456789" * 4
BRANCH = "pantheon/night-x"


class User(Protocol):
    """The person who works in the same repository."""

    def set_branch(self, name: str, commit: str) -> None:
        """Point a branch at a commit of the user's repository."""
        ...

    def check_out(self, branch: str) -> None:
        """Work on a branch."""
        ...


async def change(
    repository: Repository, commit: str, path: str, data: bytes, message: str = "Change\n"
) -> str:
    """Return a commit that changes one file."""
    async with repository.work_tree(commit) as tree:
        tree.files.write_bytes(path, data)
        return await tree.commit(message)


async def move(repository: Repository, commit: str, source: str, target: str) -> str:
    """Return a commit that moves one file."""
    async with repository.work_tree(commit) as tree:
        tree.files.move(source, target)
        return await tree.commit("Move\n")


def edited(number: int, text: bytes) -> bytes:
    """Return ``docs/b.md`` with one line changed."""
    return START["docs/b.md"].replace(b"line %d\n" % number, text)


class RepositoryContract:
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

    async def test_a_tree_moves_onto_another_parent(self, repository: Repository) -> None:
        """The content of one commit on top of another, with its message."""
        head = await repository.resolve("HEAD")
        first = await change(repository, head, "a.md", b"1\n")
        second = await change(repository, first, "a.md", b"2\n")
        flat = await repository.commit_tree_of(second, head, "Flat\n\nKey: v\n")
        assert await repository.tree_of(flat) == await repository.tree_of(second)
        assert await repository.tree_of(flat) != await repository.tree_of(head)
        assert await repository.trailer_values(head, flat, "Key") == ("v",)
        assert await repository.merge([first, head]) == first

    async def test_trailers_come_oldest_first(self, repository: Repository) -> None:
        """Over all commits after the base, those of the base left out, keys as a whole."""
        head = await repository.resolve("HEAD")
        first = await change(repository, head, "a.md", b"1\n", "One\n\nKey: 1\nKeys: no\n")
        second = await change(repository, first, "a.md", b"2\n", 'Two\n\nKey: 2\nKey: {"x": [3]}\n')
        assert await repository.trailer_values(head, second, "Key") == ("1", "2", '{"x": [3]}')
        assert await repository.trailer_values(first, second, "Key") == ("2", '{"x": [3]}')
        assert await repository.trailer_values(second, second, "Key") == ()

    async def test_a_message_may_hold_anything(self, repository: Repository) -> None:
        """What no commit can hold is replaced; trailers after it are read."""
        head = await repository.resolve("HEAD")
        message = "-m \ud800 \0 \u2028 é\n\nKey: v\n"
        changed = await change(repository, head, "a.md", b"1\n", message)
        flat = await repository.commit_tree_of(changed, head, message)
        for commit in (changed, flat):
            assert await repository.trailer_values(head, commit, "Key") == ("v",)

    async def test_publishing_is_compare_and_swap(self, repository: Repository, user: User) -> None:
        """The branch moves only from where it is believed to be, and never while somebody works on it."""
        head = await repository.resolve("HEAD")
        first = await change(repository, head, "a.md", b"1\n")
        second = await change(repository, first, "a.md", b"2\n")
        assert await repository.branch(BRANCH) is None
        with pytest.raises(GitError):
            await repository.publish(BRANCH, second, old=first, base=head)
        await repository.publish(BRANCH, first, old=None, base=head)
        assert await repository.branch(BRANCH) == first
        for wrong in (None, head):
            with pytest.raises(GitError):
                await repository.publish(BRANCH, second, old=wrong, base=head)
        assert await repository.branch(BRANCH) == first
        await repository.publish(BRANCH, second, old=first, base=head)
        assert await repository.resolve(BRANCH) == second
        user.set_branch(BRANCH, head)
        with pytest.raises(GitError):
            await repository.publish(BRANCH, first, old=second, base=head)
        user.check_out(BRANCH)
        with pytest.raises(GitError, match="checked out"):
            await repository.publish(BRANCH, first, old=head, base=head)
        assert await repository.branch(BRANCH) == head

    async def test_what_landed_is_found_by_its_trailer(self, repository: Repository) -> None:
        """On the branch, after the base, with exactly that value; also where a commit has several."""
        head = await repository.resolve("HEAD")
        one = await change(repository, head, "a.md", b"1\n", "One\n\nPantheon-Task: b/1\n")
        two = await change(repository, one, "a.md", b"2\n", "Two\n\nPantheon-Task: b/2\nPantheon-Task: b/3\n")
        assert await repository.find_landed(BRANCH, head, "Pantheon-Task", "b/1") is None
        await repository.publish(BRANCH, two, old=None, base=head)
        for value, commit in (
            ("b/1", one),
            ("b/2", two),
            ("b/3", two),
            ("b/", None),
            ("b/2,b/3", None),
            ("", None),
        ):
            assert await repository.find_landed(BRANCH, head, "Pantheon-Task", value) == commit
        assert await repository.find_landed(BRANCH, one, "Pantheon-Task", "b/1") is None

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
