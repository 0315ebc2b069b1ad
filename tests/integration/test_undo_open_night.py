"""A change is taken back while its night is still open: the night goes on over it, closes, and verifies."""

from functools import partial
from pathlib import Path

from pantheon.adapters.git.history import open_history
from pantheon.adapters.git.landed import read_landed
from pantheon.adapters.keys import FileSigner, read_public_key
from pantheon.adapters.night_verifier import verify_night
from pantheon.core.records import NightState
from pantheon.engine.night import Progress
from pantheon.engine.undo import Undoer
from pantheon.testing.night import BATCH, NoteScript, opened
from pantheon.testing.sample_notes import NOTES, PROPOSALS
from pantheon.testing.user_repository import git, make_repository

FIRST, SECOND = NOTES
BRANCH = "pantheon/night-n1"


async def test_a_night_goes_on_over_an_undo(tmp_path: Path) -> None:
    """What was taken back does not land again, what comes after it does, and the whole verifies."""
    root = make_repository(tmp_path / "user", NOTES)
    key = f"{BATCH}/{Path(FIRST).stem}"
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:

        def stop_after_the_first(step: Progress) -> None:
            if "merge" in str(step):
                bench.stopping.set()

        bench.watch = stop_after_the_first
        needs = {Path(SECOND).stem: [Path(FIRST).stem]}
        await bench.night([FIRST, SECOND], needs=needs)
        (night,) = await bench.store.nights()
        assert night.state is NightState.RUNNING, "the control: it is open, with one change on its branch"
        signer = FileSigner.open(tmp_path / "night" / "keys" / "night")
        async with open_history(root, tmp_path / "night" / "state", bench.services.clock) as history:
            undoer = Undoer(history, bench.store, bench.services.clock, signer, "me")
            done = await undoer.undo(night, key, reason="no")
            assert (done.result, done.signed) == ("undone", True)
        bench.stopping.clear()
        bench.watch = lambda _: None
        await bench.night([FIRST, SECOND], needs=needs)
        (night,) = await bench.store.nights()
        assert night.state is NightState.CLOSED
    subjects = git(root, "log", "--format=%s", f"main..{BRANCH}").splitlines()
    assert [subject.partition(" ")[0] for subject in subjects] == ["docops:", "Undo", "docops:"]
    assert FIRST in git(root, "ls-tree", "-r", "--name-only", BRANCH).split()
    assert SECOND not in git(root, "ls-tree", "-r", "--name-only", BRANCH).split()
    verdict = verify_night(
        tmp_path / "night" / "artifacts" / "n1",
        read_public_key(tmp_path / "night" / "keys" / "night.pub.pem"),
        landed=partial(read_landed, root),
    )
    assert (verdict.closed, verdict.defects) == (True, ())
    assert any("was taken back by" in note for note in verdict.notes)
