"""The contract of a repository, kept by the fake and by git."""

from pathlib import Path

import pytest

from pantheon.adapters.git.repository import NightRepository
from pantheon.ports.worktree import Repository
from pantheon.testing.clock import FakeClock
from pantheon.testing.repository import FakeRepository
from pantheon.testing.repository_contract import RepositoryContract
from pantheon.testing.repository_start import START, User
from pantheon.testing.user_repository import git, make_repository


class FakeUser:
    def __init__(self, repository: FakeRepository) -> None:
        self._repository = repository

    def set_branch(self, name: str, commit: str) -> None:
        self._repository.branches[name] = commit

    def check_out(self, branch: str) -> None:
        self._repository.checked_out.add(branch)


class GitUser:
    def __init__(self, root: Path) -> None:
        self._root = root

    def set_branch(self, name: str, commit: str) -> None:
        git(self._root, "branch", "-f", name, commit)

    def check_out(self, branch: str) -> None:
        git(self._root, "checkout", "-q", branch)


class TestFakeRepository(RepositoryContract):
    """The fake keeps what the port promises."""

    @pytest.fixture
    def repository(self) -> FakeRepository:
        return FakeRepository(START)

    @pytest.fixture
    def user(self, repository: FakeRepository) -> User:
        return FakeUser(repository)


class TestNightRepository(RepositoryContract):
    """git keeps what the port promises."""

    @pytest.fixture
    def user(self, tmp_path: Path) -> User:
        return GitUser(make_repository(tmp_path / "user", START))

    @pytest.fixture
    async def repository(self, user: User, tmp_path: Path) -> Repository:
        return await NightRepository.open(tmp_path / "user", tmp_path / "state", trees=2, clock=FakeClock())
