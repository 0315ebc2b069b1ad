"""Attacks that put an earlier state back: everything fits together, and only what was remembered elsewhere tells."""

import asyncio
import shutil
import subprocess
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from pantheon.adapters.git.landed import read_landed, read_named
from pantheon.adapters.keys import read_public_key
from pantheon.adapters.ledger_file import LedgerFolder
from pantheon.adapters.witness_file import WitnessFile, read_witness
from pantheon.core.errors import ArtifactError, SignatureError
from pantheon.core.records import NightRecord
from pantheon.core.verify import Flaw, check_chain
from pantheon.core.verify_ledger import LedgerAudit
from pantheon.engine.ledger import NightLedger
from pantheon.engine.ledger_opening import open_ledger
from pantheon.shell.verify_wiring import verify_nights
from pantheon.testing.clock import FakeClock
from pantheon.testing.evidence_night import make_night, user_key, verify
from pantheon.testing.signing import InProcessSigner
from pantheon.testing.user_repository import git

KIND, CLOCK = "https://pantheon.local/test", FakeClock()
RECORD = NightRecord(id="n1", base_commit="c" * 40, branch="pantheon/night-n1", started_at=FakeClock().now())


class Place:
    """A night's folder, its witness, and the means to open its ledger again and again."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.artifacts = top / "artifacts"
        self.witness = top / "witness" / "w.jsonl"

    def opened(self) -> AbstractAsyncContextManager[NightLedger]:
        """Open the ledger as a process of the night does."""
        return open_ledger(
            RECORD,
            (),
            store=LedgerFolder(self.artifacts),
            witness=WitnessFile(self.witness),
            signer=InProcessSigner(clock=CLOCK),
            clock=CLOCK,
        )

    async def run(self, *facts: int) -> None:
        """Open the ledger, enter something, and leave."""
        async with self.opened() as ledger:
            for fact in facts:
                await ledger.state(KIND, {"x": "0" * 64}, {"fact": fact})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_control_a_night_is_resumed(place: Place) -> None:
    """A ledger that is as it was left is taken up, with a further delegation."""
    await place.run(1, 2)
    await place.run(3)
    assert len((place.artifacts / "n1" / "ledger.jsonl").read_bytes().splitlines()) == 5


async def test_a_night_does_not_go_on_from_yesterdays_artifacts(place: Place) -> None:
    """Ledger and checkpoint put back together fit each other; the witness remembers more."""
    await place.run(1)
    shutil.copytree(place.artifacts, place.top / "yesterday")
    await place.run(2)
    shutil.rmtree(place.artifacts)
    shutil.copytree(place.top / "yesterday", place.artifacts)
    with pytest.raises(SignatureError, match="cut or set back"):
        await place.run(3)


@pytest.mark.parametrize("left", ["nothing", "checkpoint"])
async def test_a_night_that_lost_its_ledger_says_so(place: Place, left: str) -> None:
    """The ledger deleted altogether is begun again, for the work is elsewhere; whoever verifies it is told."""
    await place.run(1)
    if left == "nothing":
        shutil.rmtree(place.artifacts)
    else:
        (place.artifacts / "n1" / "ledger.jsonl").unlink()
    await place.run(2)
    audit = LedgerAudit(InProcessSigner().public_key)
    for line in (place.artifacts / "n1" / "ledger.jsonl").read_bytes().splitlines():
        audit.take(line)
    assert {one.flaw for one in audit.faults.found} == {Flaw.ROLLED_BACK}
    assert "2 records of this night were there" in audit.faults.found[0].what


async def test_a_ledger_deleted_under_a_night_stops_it(place: Place) -> None:
    """What is written into a file that is gone would be lost without a word."""
    with pytest.raises(ArtifactError, match="deleted while"):
        async with place.opened() as ledger:
            await ledger.state(KIND, {"x": "0" * 64}, {"fact": 1})
            shutil.rmtree(place.artifacts)
            await ledger.state(KIND, {"x": "0" * 64}, {"fact": 2})


async def test_a_night_does_not_go_on_from_an_altered_past(place: Place) -> None:
    """One record exchanged for another that says the same place is noticed by its root."""
    await place.run(1, 2)
    path = place.artifacts / "n1" / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"sig":"', b'"sig":"A', 1)
    path.write_bytes(b"".join(lines))
    with pytest.raises(SignatureError, match="altered"):
        await place.run(3)


async def test_a_torn_tail_is_cut_and_a_whole_record_is_not(place: Place) -> None:
    """The control of the cut: half a record goes, and a record tells; all whole ones stay."""
    await place.run(1)
    path = place.artifacts / "n1" / "ledger.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + b'{"payload":"abc')
    await place.run(2)
    after = path.read_bytes()
    assert after.startswith(before)
    assert b'{"payload":"abc' not in after
    assert len(after.splitlines()) == len(before.splitlines()) + 3


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_night(tmp_path_factory.mktemp("rollback"), ("n1", "n2"))


def test_the_whole_state_put_back_is_told_by_a_witness(nights: Path, tmp_path: Path) -> None:
    """Everything of the user's put back a night: verified alone it is sound, the witness and the chain tell."""
    copy = tmp_path / "night"
    shutil.copytree(nights, copy, ignore=shutil.ignore_patterns("*.sock"))
    n1, n2 = copy / "artifacts" / "n1", copy / "artifacts" / "n2"
    notes = read_witness(copy / "witness" / "checkpoints.jsonl")
    assert verify(n1, witness=notes).defects == (), "the control"
    assert verify(n2, witness=notes).defects == (), "the control"
    # Yesterday's state of the second night: its ledger and the checkpoint that fitted it then.
    lines = (n2 / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    early = next(note for note in notes if note.startswith(b"pantheon.local/night/n2/"))
    size = int(early.split(b"\n")[1])
    (n2 / "ledger.jsonl").write_bytes(b"".join(lines[:size]))
    (n2 / "checkpoint").write_bytes(early)
    for attempt in n2.glob("*/*/*"):
        shutil.rmtree(attempt)
    assert verify(n2).defects == (), "alone nothing tells: this is what the witness is for"
    assert {one.flaw for one in verify(n2, witness=notes).defects} == {Flaw.ROLLED_BACK}


def commit_as_somebody(user: Path, *how: str) -> None:
    """Commit in the repository as one who has nothing to do with the night."""
    git(user, "-c", "user.name=M", "-c", "user.email=m@localhost", "commit", "-q", *how)


def test_the_repository_bears_witness_too(nights: Path, tmp_path: Path) -> None:
    """The branch's commits name checkpoints, and commits that no attempt attests are told."""
    copy = tmp_path / "night"
    shutil.copytree(nights, copy, ignore=shutil.ignore_patterns("*.sock"))
    user = tmp_path / "user"
    shutil.copytree(nights.parent / "user", user)
    n1 = copy / "artifacts" / "n1"
    landed = partial(read_landed, user)
    assert verify(n1, landed=landed).defects == (), "the control"
    git(user, "checkout", "-q", "pantheon/night-n1")
    (user / "planted.txt").write_text("x")
    git(user, "add", "planted.txt")
    commit_as_somebody(user, "-m", "planted")
    found = verify(n1, landed=landed).defects
    assert {one.flaw for one in found} >= {Flaw.WRONG_COMMIT}
    git(user, "reset", "-q", "--hard", "HEAD~2")
    assert {one.flaw for one in verify(n1, landed=landed).defects} == {Flaw.WRONG_COMMIT}


FOLDED = "x\n\nPantheon-Night: n1\n  and more\nPantheon-Undo: a\n b\n"


def test_a_commit_that_is_made_to_be_misread_is_told(nights: Path, tmp_path: Path) -> None:
    """Trailers over several lines, as git folds them, are one value each and no further commits."""
    user = tmp_path / "user"
    shutil.copytree(nights.parent / "user", user)
    git(user, "checkout", "-q", "pantheon/night-n1")
    commit_as_somebody(user, "--allow-empty", "-m", FOLDED)
    shown = git(user, "log", "-1", "--format=%(trailers:key=Pantheon-Night,valueonly)")
    assert len(shown.splitlines()) > 1, "the control: git shows it over several lines"
    found = verify(nights / "artifacts" / "n1", landed=partial(read_landed, user)).defects
    assert {one.flaw for one in found} == {Flaw.WRONG_COMMIT}


@pytest.mark.parametrize(
    ("setting", "value"),
    [("i18n.logOutputEncoding", "UTF-16"), ("i18n.logOutputEncoding", "EBCDIC-US"), ("trailer.separators", "="),
     ("core.commentChar", "P"), ("color.ui", "always"), ("format.pretty", "fuller"), ("log.showSignature", "true")],
)  # fmt: skip
def test_no_setting_of_the_repository_changes_what_its_commits_say(
    nights: Path, tmp_path: Path, setting: str, value: str
) -> None:
    """What plain git shows of the same commit is another thing with most of them (the control is the first)."""
    user = tmp_path / "user"
    shutil.copytree(nights.parent / "user", user)
    git(user, "config", setting, value)
    if value == "UTF-16":
        shown = subprocess.run(
            ["git", "-C", user, "log", "-1", "--format=%H"], capture_output=True, check=True
        )
        assert b"\0" in shown.stdout, "the control"
    assert verify(nights / "artifacts" / "n1", landed=partial(read_landed, user)).defects == ()


@pytest.mark.parametrize(
    ("early", "told"), [(0, {Flaw.ROLLED_BACK, Flaw.WRONG_COMMIT}), (1, {Flaw.WRONG_COMMIT})]
)
def test_the_repository_tells_that_a_night_was_opened_again(
    nights: Path, tmp_path: Path, early: int, told: set[Flaw]
) -> None:
    """Put back to before its end, a night passes for one that was left open; what it landed names what is gone."""
    copy, user = tmp_path / "night", nights.parent / "user"
    shutil.copytree(nights, copy, ignore=shutil.ignore_patterns("*.sock"))
    n2 = copy / "artifacts" / "n2"
    landed, named = partial(read_landed, user), partial(read_named, user)
    assert verify(n2, landed=landed, named=named).defects == (), "the control"
    notes = read_witness(copy / "witness" / "checkpoints.jsonl")
    note = [one for one in notes if one.startswith(b"pantheon.local/night/n2/")][early]
    lines = (n2 / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (n2 / "ledger.jsonl").write_bytes(b"".join(lines[: int(note.split(b"\n")[1])]))
    (n2 / "checkpoint").write_bytes(note)
    for attempt in verify(n2).defects:
        shutil.rmtree(n2 / attempt.where)
    alone = verify(n2, landed=landed)
    assert (alone.defects, alone.closed) == ((), False), "alone nothing tells"
    assert {one.flaw for one in verify(n2, landed=landed, named=named).defects} == told


def test_a_night_that_is_only_open_is_told_nothing_of(nights: Path, tmp_path: Path) -> None:
    """A night whose process died behind its merge has all that its branch names; copies elsewhere do not count."""
    copy, user = tmp_path / "night", tmp_path / "user"
    shutil.copytree(nights, copy, ignore=shutil.ignore_patterns("*.sock"))
    shutil.copytree(nights.parent / "user", user)
    n2 = copy / "artifacts" / "n2"
    notes = read_witness(copy / "witness" / "checkpoints.jsonl")
    note = [one for one in notes if one.startswith(b"pantheon.local/night/n2/")][2]
    lines = (n2 / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (n2 / "ledger.jsonl").write_bytes(b"".join(lines[: int(note.split(b"\n")[1])]))
    (n2 / "checkpoint").write_bytes(note)
    git(user, "checkout", "-q", "-b", "mine", "pantheon/night-n2")
    commit_as_somebody(user, "--amend", "--no-edit", "--reset-author")
    found = verify(n2, landed=partial(read_landed, user), named=partial(read_named, user))
    assert (found.defects, found.closed) == ((), False)


def test_a_night_taken_away_is_missed_by_the_next_one(nights: Path, tmp_path: Path) -> None:
    """Each night binds the last checkpoint of the one before it."""
    copy = tmp_path / "night"
    shutil.copytree(nights, copy, ignore=shutil.ignore_patterns("*.sock"))
    first, second = (verify(copy / "artifacts" / name) for name in ("n1", "n2"))
    assert all(one.sound for one in check_chain((first, second), ())), "the control"
    assert second.previous == first.checkpoint
    notes = read_witness(copy / "witness" / "checkpoints.jsonl")
    other = second.model_copy(update={"origin": "pantheon.local/night/n3/0", "night": "n3"})
    chained = check_chain((second, other), notes)
    assert {one.flaw for one in chained[1].defects} == {Flaw.MISSING}
    assert {one.flaw for one in chained[0].defects} == {Flaw.MISSING}
    shorter = first.model_copy(update={"records": 3})
    assert {one.flaw for one in check_chain((shorter, second), ())[1].defects} == {Flaw.ROLLED_BACK}


@pytest.mark.parametrize(("left", "gone"), [("n1", "n2"), ("n2", "n1")])
def test_all_nights_but_one_taken_away_are_missed(nights: Path, tmp_path: Path, left: str, gone: str) -> None:
    """One night that is left in the folder of nights does not pass for the only one; asked for alone it is sound."""
    artifacts = tmp_path / "artifacts"
    shutil.copytree(nights / "artifacts" / left, artifacts / left)
    key, witness = (
        read_public_key(user_key(nights / "artifacts" / left)),
        nights / "witness/checkpoints.jsonl",
    )

    def found(path: Path) -> list[tuple[Flaw, str]]:
        verdicts = verify_nights(path, key, witness=witness, repository=None, progress=lambda *_: None)
        return [(one.flaw, one.where.split("/")[2]) for verdict in verdicts for one in verdict.defects]

    assert found(nights / "artifacts") == [], "the control"
    assert found(artifacts / left) == [], "the control"
    assert found(artifacts) == [(Flaw.MISSING, gone)]


async def test_the_witness_only_grows(tmp_path: Path) -> None:
    """A torn line of the witness is passed over, and what follows it stands on a line of its own."""
    path = tmp_path / "w" / "w.jsonl"
    witness = WitnessFile(path)
    await witness.remember(b"one")
    with path.open("ab") as file:
        file.write(b'"half')
    await witness.remember(b"two")
    assert list(await witness.notes()) == [b"one", b"two"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.primitive("append_only")
def test_the_witness_may_be_made_append_only(tmp_path: Path) -> None:
    """With ``chattr +a`` it still takes checkpoints, and can be neither cut nor replaced; without it, both."""
    path = tmp_path / "w.jsonl"
    witness = WitnessFile(path)
    asyncio.run(witness.remember(b"one"))
    kept = path.read_bytes()
    path.write_bytes(b"")
    path.write_bytes(kept)
    subprocess.run(["chattr", "+a", path], check=True)
    try:
        asyncio.run(witness.remember(b"two"))
        assert list(asyncio.run(witness.notes())) == [b"one", b"two"]
        with pytest.raises(PermissionError):
            path.write_bytes(b"")
        with pytest.raises(PermissionError):
            path.unlink()
    finally:
        subprocess.run(["chattr", "-a", path], check=True)
