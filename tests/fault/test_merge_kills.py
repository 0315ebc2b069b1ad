"""A landing is killed at its git commands, and done again: nothing is lost, nothing lands twice.

These tests take longer than others because they kill at each command, and there are some dozens of them.
"""

import asyncio
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pantheon.testing.merge_kills import COMMANDS, ERRORS, KILLED, LINES, How, Landings, MergeNursery
from pantheon.testing.merging import BRANCH
from pantheon.testing.user_repository import git

WRITES = ("read-tree", "fast-import", "commit-tree", "unpack-objects", "update-ref")
FIRST = ("b/first",)


@pytest.fixture(scope="module")
def nursery() -> Iterator[MergeNursery]:
    with MergeNursery() as nursery:
        yield nursery


class Case:
    """Changes that were reviewed, as one batch in front of a branch that has moved since; landed as often as asked.

    Args:
        folder: everything is in here.
        count: number of changes.
        nursery: lands them.
    """

    def __init__(self, folder: Path, count: int, nursery: MergeNursery) -> None:
        self._nursery, self._folder, self._count = nursery, folder, count
        (folder / "template").mkdir()
        asyncio.run(Landings(folder / "template").make(count))
        self.whole = (*FIRST, *(f"b/t{n}" for n in range(count)))
        calm = self._copy("calm")
        self._land(calm, "undisturbed")
        self.commands: Sequence[str] = json.loads((calm / COMMANDS).read_text())

    def kill(self, at: int, how: How) -> None:
        """Land, killed at a command, and land again."""
        where = f"{how} command {at}, {self.commands[at - 1]}"
        folder = self._copy(f"{at}-{how}")
        assert self._nursery.run(folder, at, how) == KILLED, where
        assert Landings(folder).landed() in (FIRST, self.whole), where
        if how == "before":
            assert Landings(folder).landed() == FIRST, where
        self._land(folder, where)
        shutil.rmtree(folder)

    def _copy(self, name: str) -> Path:
        return Path(shutil.copytree(self._folder / "template", self._folder / name))

    def _land(self, folder: Path, where: str) -> None:
        """Land in peace: each task is on the branch once, with its content, and the repository is whole."""
        assert self._nursery.run(folder) == 0, f"{where}\n{(folder / ERRORS).read_text()}"
        landings = Landings(folder)
        assert landings.landed() == self.whole, where
        lines = LINES.splitlines(keepends=True)
        for n in range(self._count):
            lines[4 * n] = b"word%d\n" % n
        assert git(landings.root, "show", f"{BRANCH}:a.txt").encode() == b"".join(lines), where
        assert git(landings.root, "fsck", "--no-dangling", "--no-progress") == "", where


def test_kill_before_every_command(nursery: MergeNursery, tmp_path: Path) -> None:
    """Up to the last one the branch is where it was; done again, the change is there once.

    What is killed is all of it: looking, replaying, testing, making the commit, copying it, and one move at the end.
    """
    case = Case(tmp_path, 1, nursery)
    assert case.commands.count("update-ref") == 1 and case.commands[-1] == "update-ref"
    assert {"log", "cat-file", "pack-objects", *WRITES} <= set(case.commands)
    for at in range(1, len(case.commands) + 1):
        case.kill(at, "before")


def test_kill_with_every_command_that_writes(nursery: MergeNursery, tmp_path: Path) -> None:
    """git dies in the middle, with whoever asked for it: the branch is old or new, never in between."""
    case = Case(tmp_path, 1, nursery)
    for at, name in enumerate(case.commands, 1):
        if name in WRITES:
            case.kill(at, "with")


def test_a_batch_lands_whole_or_not_at_all(nursery: MergeNursery, tmp_path: Path) -> None:
    """Several changes are one move of the branch; killed around it, none of them is there without the others."""
    case = Case(tmp_path, 2, nursery)
    assert case.commands.count("update-ref") == 1
    for at in range(len(case.commands) - 3, len(case.commands) + 1):
        case.kill(at, "before")
        case.kill(at, "with")


def test_what_has_landed_is_not_moved_again(nursery: MergeNursery, tmp_path: Path) -> None:
    """Killed behind the last command, a landing has nothing left but to look: no object is made, no branch is moved."""
    Case(tmp_path, 1, nursery)
    calm = tmp_path / "calm"
    head = git(calm / "user", "rev-parse", BRANCH)
    assert nursery.run(calm) == 0
    assert git(calm / "user", "rev-parse", BRANCH) == head
    assert not set(WRITES) & set(json.loads((calm / COMMANDS).read_text()))
