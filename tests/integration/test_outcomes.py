"""Landed changes are followed into a user's branch: merged, picked, squashed, renamed, edited, reverted."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.git.history import open_history
from pantheon.core.aftermath import ChangeFate, Fate
from pantheon.core.records import (
    AttemptOutcome,
    AttemptResult,
    BatchRecord,
    NightRecord,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
)
from pantheon.core.taken_back import UNDO_EVENT
from pantheon.engine.aftermath import Follower
from pantheon.ports.history import History
from pantheon.testing.clock import FakeClock
from pantheon.testing.landed import LandedRepository
from pantheon.testing.store import FakeStore

BODY = b"".join(b"line %d of the note\n" % number for number in range(20))
HEAD = b"---\ntitle: T\ndescription: D\ntags: [a, b]\n---\n"


class Scene:
    """A night that landed one change, and the user's ``main``."""

    def __init__(
        self, history: History, repository: LandedRepository, night: NightRecord, landed: str
    ) -> None:
        self.history, self.repository, self.night, self.landed = history, repository, night, landed
        self.git = repository.git
        self.store = FakeStore(FakeClock())

    async def fate(self) -> ChangeFate:
        follower = Follower(self.history, self.store, self.git("rev-parse", "main"))
        (found,) = await follower.follow(self.night)
        return found

    def commit(self, files: dict[str, bytes | None], message: str = "by hand") -> None:
        self.repository.commit("main", message, files)


async def record(store: FakeStore, night: NightRecord, commit: str) -> None:
    """Leave in the store what a night would: who made the change, who passed it, what landed."""
    batch = BatchRecord(name="b", digest="0" * 64, lines=1, enqueued_at=FakeClock().now(), path="q")
    await store.add_batch(batch, [TaskRecord(key="b/1", batch="b", line="{}", package="docs")])
    await store.open_night(night, ["b/1"])
    said: dict[str, tuple[str | None, dict[str, Any]]] = {
        "write": ("archivist@2", {"title": "T"}),
        "review.peerA": ("review.peerA@1", {"verdict": "pass"}),
        "merge": (None, {"commit": commit}),
    }
    for node, (agent, output) in said.items():
        key = f"b/1#{node}"
        await store.add_nodes([NodeRecord(night=night.id, key=key, task="b/1", node=node)])
        await store.make_ready(night.id, [key])
        lease = await store.claim(night.id, key, owner="t", lease_s=60)
        metrics = {"agent": agent, "output": output}
        done = AttemptResult(
            outcome=AttemptOutcome.SUCCEEDED, node_state=NodeState.SUCCEEDED, metrics=metrics
        )
        await store.settle(lease, done)
    await store.finish_task(night.id, "b/1", TaskOutcome.ACCEPTED, "")


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    repository = LandedRepository.make(tmp_path / "user", {"old.md": BODY, "other.md": b"o\n"})
    night = repository.night()
    landed = repository.land(night, "b/1", {"old.md": None, "new.md": HEAD + BODY})
    async with open_history(repository.root, tmp_path / "state", FakeClock()) as history:
        made = Scene(history, repository, night, landed)
        await record(made.store, night, landed)
        yield made


async def test_what_nobody_merged_is_open(scene: Scene) -> None:
    """Whatever else the user commits; and one that was taken back before is reverted."""
    scene.commit({"other.md": b"more\n"})
    assert (await scene.fate()).fate is Fate.OPEN
    await scene.store.add_event(scene.night.id, "b/1", UNDO_EVENT, {"undo": "u", "reason": "r", "by": "me"})
    assert (await scene.fate()).fate is Fate.REVERTED


@pytest.mark.parametrize("how", ["fast-forward", "merge", "cherry-pick", "rebase", "squash", "rewritten"])
async def test_it_is_found_however_it_was_merged(scene: Scene, how: str) -> None:
    """And kept, also when the night's branch is gone afterwards."""
    git, night = scene.git, scene.night
    if how != "fast-forward":
        scene.commit({"other.md": b"moved on\n"})
    if how == "fast-forward":
        git("merge", "-q", "--ff-only", night.branch)
    elif how == "merge":
        git("merge", "-q", "--no-ff", "--no-edit", night.branch)
    elif how == "cherry-pick":
        git("cherry-pick", night.branch)
    elif how == "rebase":
        git("switch", "-q", "-c", "topic", night.branch)
        git("rebase", "-q", "main")
        git("switch", "-q", "main")
        git("merge", "-q", "--ff-only", "topic")
    else:
        git("merge", "-q", "--squash", night.branch)
        message = ["--no-edit"] if how == "squash" else ["-m", "Catalogue (#12)"]
        git("commit", "-q", *message)
    found = await scene.fate()
    assert (found.fate, found.how) == (Fate.KEPT, "as it landed")
    assert (found.lines_added, found.lines_left) == (5, 5)
    assert (found.agents, found.reviewers) == ((("archivist", "2"),), (("review.peerA", "1"),))
    if how in ("cherry-pick", "squash"):
        git("branch", "-D", night.branch)
        git("reflog", "expire", "--expire=now", "--all")
        git("gc", "-q", "--prune=now")
        assert (await scene.fate()).fate is Fate.KEPT


async def test_writing_elsewhere_in_the_file_keeps_it(scene: Scene) -> None:
    """The lines of the change are what counts, through a rename and another edit, white space aside."""
    scene.git("merge", "-q", "--ff-only", scene.night.branch)
    scene.commit({"new.md": HEAD + BODY + b"one more line\n"})
    found = await scene.fate()
    assert (found.fate, found.lines_left) == (Fate.KEPT, 5)
    scene.commit({"new.md": HEAD.replace(b"[a, b]", b"[a,  b]") + BODY})
    assert (await scene.fate()).fate is Fate.KEPT


async def test_an_edited_line_changes_it(scene: Scene) -> None:
    """Some of its lines are others now."""
    scene.git("merge", "-q", "--ff-only", scene.night.branch)
    scene.commit({"new.md": HEAD.replace(b"title: T", b"title: Better") + BODY})
    found = await scene.fate()
    assert (found.fate, found.lines_left) == (Fate.CHANGED, 4)


async def test_another_name_changes_it(scene: Scene) -> None:
    """Moved as it was, or moved and edited; its lines are followed."""
    scene.git("merge", "-q", "--ff-only", scene.night.branch)
    scene.commit({"new.md": None, "docs/newer.md": HEAD + BODY})
    found = await scene.fate()
    assert (found.fate, found.how, found.lines_left) == (Fate.CHANGED, "new.md is docs/newer.md now", 5)
    scene.commit({"docs/newer.md": HEAD.replace(b"title: T", b"title: Better") + BODY})
    assert (await scene.fate()).lines_left == 4


async def test_a_revert_is_seen_by_its_word_and_undone_by_another(scene: Scene) -> None:
    """A revert of the revert brings it back."""
    scene.git("merge", "-q", "--ff-only", scene.night.branch)
    scene.git("revert", "--no-edit", "HEAD")
    found = await scene.fate()
    assert found.fate is Fate.REVERTED
    assert found.how.startswith("reverted by ")
    scene.git("revert", "--no-edit", "HEAD")
    assert (await scene.fate()).fate is not Fate.REVERTED


async def test_a_silent_revert_is_seen_by_its_content(scene: Scene) -> None:
    """The old file again, with a message that says nothing; or the file taken away."""
    scene.git("merge", "-q", "--no-ff", "--no-edit", scene.night.branch)
    scene.commit({"new.md": BODY})
    assert (await scene.fate()).fate is Fate.REVERTED
    scene.commit({"new.md": None})
    assert (await scene.fate()).fate is Fate.REVERTED


async def test_names_that_are_no_text_and_binary_files_are_followed_too(scene: Scene) -> None:
    """Bytes that are no UTF-8 in names and messages, and content without lines."""
    git = scene.git
    git("switch", "-q", "-c", "odd")
    name = os.fsencode(scene.repository.root) + b"/caf\xe9.bin"
    await asyncio.to_thread(Path(os.fsdecode(name)).write_bytes, b"\0\1\2")
    git("add", "-A")
    lines = f"odd \udce9\n\nPantheon-Task: b/1\nPantheon-Night: {scene.night.id}"
    git("-c", "i18n.commitEncoding=latin-1", "commit", "-q", "-m", lines)
    git("switch", "-q", "main")
    git("merge", "-q", "--ff-only", "odd")
    found = await scene.fate()
    assert (found.fate, found.lines_added) == (Fate.KEPT, 0)
