"""How git is found and started."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pantheon.adapters.git.command import GitRunner, find_git
from pantheon.adapters.git.listing import git_version
from pantheon.core.errors import GitError


@pytest.fixture
def searched_again() -> Iterator[None]:
    find_git.cache_clear()
    yield
    find_git.cache_clear()


def stand_in(folder: Path, body: str) -> None:
    folder.mkdir()
    (folder / "git").write_text(f"#!{sys.executable}\n{body}\n")
    (folder / "git").chmod(0o755)


async def test_git_is_found_where_the_users_path_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, searched_again: None
) -> None:
    """A git outside the system's folders is used, by day and by night; the night's own environment stays closed."""
    stand_in(tmp_path / "bin", "import os\nprint('git version 9.8.7', sorted(os.environ))")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SECRET", "canary")
    assert git_version() == (9, 8, 7)
    told = await GitRunner(tmp_path).text("--version")
    assert "9.8.7" in told
    assert "SECRET" not in told


async def test_a_missing_git_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, searched_again: None
) -> None:
    """By day and by night."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match=r"(?s)not on the PATH.*Install git"):
        git_version()
    with pytest.raises(GitError, match=r"(?s)not on the PATH.*Install git"):
        await GitRunner(tmp_path).run("version")


async def test_a_git_that_cannot_be_started_is_a_git_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, searched_again: None
) -> None:
    """Whatever the system says to the start of a process, nothing but ``GitError`` leaves."""
    stand_in(tmp_path / "bin", "")
    (tmp_path / "bin/git").write_text("#!/nonexistent/interpreter\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(GitError, match="could not be started"):
        await GitRunner(tmp_path).run("version")
    with pytest.raises(GitError, match="could not be started"):
        git_version()
    monkeypatch.undo()
    find_git.cache_clear()
    with pytest.raises(GitError, match="could not be started"):
        await GitRunner(tmp_path).run("log", "x" * 4_000_000)


@pytest.mark.parametrize("argument", ["a\0b", "\ud800"])
async def test_an_argument_that_cannot_be_is_a_git_error(tmp_path: Path, argument: str) -> None:
    """Text of a model or a repository that no process can be given."""
    with pytest.raises(GitError, match="no process can be given"):
        await GitRunner(tmp_path).run("log", argument)
