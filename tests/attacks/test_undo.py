"""Commits on a night's branch that only look like an undo: none of them verifies."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pantheon.adapters.git.history import open_history
from pantheon.adapters.git.landed import read_landed
from pantheon.adapters.keys import FileSigner, read_public_key
from pantheon.adapters.night_verifier import verify_night
from pantheon.core.dsse import PAYLOAD_TYPE, pae, seal
from pantheon.core.undo import Undo, undo_message, undo_statement
from pantheon.engine.undo import Undoer
from pantheon.testing.clock import FakeClock
from pantheon.testing.day import BRANCH, NIGHT, Morning, make_morning
from pantheon.testing.landed import LandedRepository
from pantheon.testing.store import FakeStore

pytestmark = pytest.mark.primitive("git")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Morning:
    return make_morning(tmp_path_factory.mktemp("morning"))


@pytest.fixture
def morning(made: Morning, tmp_path: Path) -> Morning:
    shutil.copytree(made.root, tmp_path / "user", symlinks=True)
    return replace(made, root=tmp_path / "user")


def flaws(morning: Morning) -> list[str]:
    """Return what a verifier finds wrong with the branch."""
    key = read_public_key(morning.config / "pantheon" / "keys" / "night.ed25519.pub.pem")
    verdict = verify_night(morning.artifacts, key, landed=partial(read_landed, morning.root))
    return [f"{defect.flaw}: {defect.what}" for defect in verdict.defects]


def an_undo(morning: Morning) -> Undo:
    """Return the undo of the night's last change, as an honest command would make it."""
    return Undo(
        night=NIGHT,
        task=morning.keys[1],
        commit=morning.git("rev-parse", BRANCH),
        parent=morning.git("rev-parse", BRANCH),
        tree=morning.git("rev-parse", f"{BRANCH}~1^{{tree}}"),
        reason="r",
        by="me",
        at=FakeClock().now(),
    )


def envelope(morning: Morning, undo: Undo, *, stranger: Path | None = None) -> bytes:
    """Sign an undo with the user's key, or with a stranger's."""
    signer = FileSigner.open(stranger or morning.config / "pantheon" / "keys" / "night.ed25519")
    statement = undo_statement(undo)
    signature = asyncio.run(signer.sign(pae(PAYLOAD_TYPE, statement)))
    return seal(statement, [(signer.key_id, signature)]).to_bytes()


def commit(morning: Morning, undo: Undo, message: str, *, tree: str = "") -> None:
    """Put a commit on the night's branch."""
    made = morning.git("commit-tree", tree or undo.tree, "-p", BRANCH, "-m", message)
    morning.git("update-ref", f"refs/heads/{BRANCH}", made)


def test_the_control_an_honest_undo_verifies(morning: Morning) -> None:
    """The control: signed by the user, in its place, with its tree."""
    assert flaws(morning) == []
    undo = an_undo(morning)
    commit(morning, undo, undo_message(undo, "x", envelope(morning, undo)))
    assert flaws(morning) == []


def test_nobodys_word_is_no_undo(morning: Morning) -> None:
    """Trailers alone, which anybody can write."""
    undo = an_undo(morning)
    commit(morning, undo, undo_message(undo, "x", None))
    assert any("nobody has signed" in one for one in flaws(morning))


def test_a_strangers_word_is_no_undo(morning: Morning, tmp_path: Path) -> None:
    """Well signed, by a key that this night does not stand on."""
    undo = an_undo(morning)
    commit(morning, undo, undo_message(undo, "x", envelope(morning, undo, stranger=tmp_path / "k" / "key")))
    assert any("does not count" in one for one in flaws(morning))


@pytest.mark.parametrize(
    "change",
    [
        lambda undo: undo.model_copy(update={"night": "n2"}),
        lambda undo: undo.model_copy(update={"commit": "f" * 40}),
        lambda undo: undo.model_copy(update={"parent": "f" * 40}),
        lambda undo: undo.model_copy(update={"tree": "f" * 40}),
    ],
    ids=["night", "commit", "parent", "tree"],
)
def test_a_word_for_something_else_is_no_undo(morning: Morning, change: Callable[[Undo], Undo]) -> None:
    """The user did sign it, for another night, commit, place or tree."""
    undo = an_undo(morning)
    commit(morning, undo, undo_message(undo, "x", envelope(morning, change(undo))))
    assert any("about another" in one for one in flaws(morning))


def test_an_undo_cannot_be_said_again(morning: Morning) -> None:
    """The same envelope on a second commit, and one that takes back what the branch does not have."""
    undo = an_undo(morning)
    message = undo_message(undo, "x", envelope(morning, undo))
    commit(morning, undo, message)
    commit(morning, undo, message)
    assert any("about another parent" in one for one in flaws(morning))


def test_an_undo_smuggles_nothing_in(morning: Morning) -> None:
    """A commit with an honest undo's message and another tree."""
    undo = an_undo(morning)
    (morning.root / "evil.md").write_text("evil")
    morning.git("add", "evil.md")
    tree = morning.git("write-tree")
    commit(morning, undo, undo_message(undo, "x", envelope(morning, undo)), tree=tree)
    assert any("about another tree" in one for one in flaws(morning))


def test_an_undo_of_what_is_not_there_is_none(morning: Morning) -> None:
    """The user's word for a commit of another branch."""
    base = morning.git("rev-parse", f"{BRANCH}~2")
    undo = an_undo(morning).model_copy(update={"commit": base})
    commit(morning, undo, undo_message(undo, "x", envelope(morning, undo)))
    assert any("not on this branch" in one for one in flaws(morning))


def test_behind_an_undo_nothing_else_lands(morning: Morning) -> None:
    """A commit of somebody's behind an honest undo is still nobody's."""
    undo = an_undo(morning)
    commit(morning, undo, undo_message(undo, "x", envelope(morning, undo)))
    commit(morning, undo, "docops: more\n\nPantheon-Night: n1\nPantheon-Task: b/x")
    found = flaws(morning)
    assert any("does not end with" in one for one in found)
    assert any("no attempt of this night attests it" in one for one in found)


NAMES = ("--discard-changes", "-C", "--orphan", "x;touch${IFS}marker", "$(touch${IFS}marker)", "`id`", "a'b")


@pytest.mark.parametrize("name", NAMES)
async def test_what_a_person_is_told_to_type_is_no_option_and_no_program(tmp_path: Path, name: str) -> None:
    """A branch of any name that has the change: the words that are told do what they say, and to that branch alone.

    The control: put into the words as it is, the name acts, or leads elsewhere.
    """
    repository = LandedRepository.make(tmp_path / "user", {"a.md": b"a\n"})
    night = repository.night()
    repository.land(night, "b/one", {"a.md": b"title\na\n"})
    root = repository.root
    tip = repository.git("rev-parse", night.branch)
    repository.git("update-ref", f"refs/heads/{name}", tip)
    work = root / "a.md"

    def typed(words: str) -> None:
        given = {**os.environ, "GIT_AUTHOR_NAME": "U", "GIT_AUTHOR_EMAIL": "u@localhost", "GIT_COMMITTER_NAME": "U",
                 "GIT_COMMITTER_EMAIL": "u@localhost"}  # fmt: skip
        subprocess.run(["/bin/sh", "-c", words], cwd=root, env=given, capture_output=True, check=False)

    async with open_history(root, tmp_path / "state", FakeClock()) as history:
        undoer = Undoer(history, FakeStore(FakeClock()), FakeClock(), None, "me")
        done = await undoer.undo(night, "b/one", reason="r")
    assert done.result == "elsewhere" and f"refs/heads/{name}" in done.where
    await asyncio.to_thread(typed, f"git switch {name} && git revert --no-edit {tip}")
    assert repository.git("rev-parse", f"refs/heads/{name}") == tip, "the control: it did not do what it says"
    repository.git("checkout", "-q", "-f", "main")
    (root / "marker").unlink(missing_ok=True)
    await asyncio.to_thread(work.write_bytes, b"somebody's work\n")
    for words in done.commands:
        await asyncio.to_thread(typed, words)
    assert not (root / "marker").exists()
    if name.startswith("-"):
        assert work.read_bytes() != b"a\n", "what was not committed was thrown away"
        assert all("switch" not in words for words in done.commands)
