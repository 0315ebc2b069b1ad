"""What git said of commits is remembered: asked once, within bounds, and never where it may change."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.git.command import GitRunner
from pantheon.adapters.git.commit_answers import CommitAnswers
from pantheon.adapters.git.repository import NightRepository
from pantheon.core.errors import CommitLostError, GitError
from pantheon.testing.clock import FakeClock
from pantheon.testing.user_repository import git, make_repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "user", {f"f{n}.md": b"%d\n" % n for n in range(4)})


class Counted(GitRunner):
    """Git that counts how often it is started."""

    def __init__(self, git_dir: Path) -> None:
        super().__init__(git_dir)
        self.started = 0

    async def run(self, *args: str, **more: Any) -> tuple[int, bytes]:
        self.started += 1
        return await super().run(*args, **more)


async def show(answers: CommitAnswers, commit: str, path: str, env: Mapping[str, str] | None = None) -> bytes:
    return await answers.ask("cat-file", "blob", f"{commit}:{path}", objects=(commit,), env=env)


async def test_the_same_question_is_asked_once(root: Path) -> None:
    """Command, input and environment make a question; each other one starts git."""
    runner = Counted(root / ".git")
    answers, head = CommitAnswers(runner), git(root, "rev-parse", "HEAD").strip()
    assert [await show(answers, head, "f1.md") for _ in range(3)] == [b"1\n"] * 3
    assert runner.started == 1
    await show(answers, head, "f2.md")
    await show(answers, head, "f1.md", {"GIT_LITERAL_PATHSPECS": "1"})
    asked = [f"{head}:f{n}.md\n".encode() for n in (1, 2, 1)]
    found = [await answers.ask("cat-file", "--batch", objects=(head,), stdin=one) for one in asked]
    assert found[0] == found[2] != found[1]
    assert runner.started == 5


async def test_a_name_that_may_move_is_asked_each_time(root: Path) -> None:
    """A branch, or a shortened id, is not what it was once it has moved."""
    answers = CommitAnswers(GitRunner(root / ".git"))
    assert await show(answers, "HEAD", "f1.md") == b"1\n"
    (root / "f1.md").write_bytes(b"moved\n")
    git(root, "commit", "-q", "-a", "-m", "moved")
    assert await show(answers, "HEAD", "f1.md") == b"moved\n"


async def test_an_error_is_asked_again(root: Path) -> None:
    """What could not be answered once may be later."""
    runner = Counted(root / ".git")
    answers, head = CommitAnswers(runner), git(root, "rev-parse", "HEAD").strip()
    for _ in range(2):
        with pytest.raises(GitError):
            await show(answers, head, "none.md")
    assert runner.started == 2


async def test_content_that_is_missing_for_a_while_is_found_again(root: Path, tmp_path: Path) -> None:
    """``cat-file --batch`` says "missing" without failing; where an attempt is made again, it is looked for again."""
    repository = await NightRepository.open(root, tmp_path / "state", trees=1, clock=FakeClock())
    head = await repository.resolve("HEAD")
    name = git(root, "rev-parse", "HEAD:f1.md").strip()
    place = root / ".git" / "objects" / name[:2] / name[2:]
    away = place.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(CommitLostError, match=r"the content of f1\.md at .* is gone from"):
            await repository.read_files(head, ["f1.md", "f2.md"])
    away.rename(place)
    assert await repository.read_files(head, ["f1.md", "f2.md"]) == {"f1.md": b"1\n", "f2.md": b"2\n"}


async def test_what_was_not_asked_for_longest_makes_room(root: Path) -> None:
    """Bytes of questions and answers stay below the bound, and what is larger alone is not kept at all."""
    runner = Counted(root / ".git")
    head = git(root, "rev-parse", "HEAD").strip()
    one = len("cat-file") + len("blob") + len(f"{head}:f0.md") + len(b"0\n")
    answers = CommitAnswers(runner, kept_bytes=2 * one)
    for place in (0, 1, 0, 2, 0):
        await show(answers, head, f"f{place}.md")
    assert runner.started == 3, "0 was asked for in between, so 1 had to go"
    await show(answers, head, "f1.md")
    assert runner.started == 4
    none = CommitAnswers(runner, kept_bytes=one - 1)
    for _ in range(2):
        assert await show(none, head, "f0.md") == b"0\n"
    assert runner.started == 6
