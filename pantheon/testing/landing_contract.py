"""What every repository must do when commits land: other parents, trailers, a branch that moves by compare-and-swap.

Part of ``RepositoryContract``, which gives the fixtures.
"""

import pytest

from pantheon.core.errors import GitError
from pantheon.ports.worktree import Repository
from pantheon.testing.repository_start import BRANCH, User, change


class LandingContract:
    """The promises of ``ports.worktree.Repository`` about commits and the night's branch."""

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
