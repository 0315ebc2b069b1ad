"""What a night verifies before it starts, and before it goes on."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pantheon.adapters.queue_files import FileQueue
from pantheon.core.batch import Pins
from pantheon.core.errors import PreflightError
from pantheon.core.orders import Verb
from pantheon.engine.enqueue import EnqueueRequest, EnqueueServices, run_enqueue
from pantheon.engine.preflight import NightPlan, night_id, prepare_night
from pantheon.testing.night import Bench, NoteScript, opened
from pantheon.testing.user_repository import git, make_repository

LINE = b'{"id": "one", "kind": "docops", "goal": "g", "targets": ["docs/2026.01.01.md"]}'
PINS = Pins(agents={"a": "1" * 64})


class Case:
    """A repository with one signed batch."""

    def __init__(self, bench: Bench, tmp_path: Path) -> None:
        self.bench = bench
        self.folder = tmp_path / "queue"
        self.queue = FileQueue(self.folder)

    async def enqueue(self, line: bytes = LINE) -> None:
        @asynccontextmanager
        async def services() -> AsyncIterator[EnqueueServices]:
            yield EnqueueServices(store=self.bench.store, signer=self.bench.services.signer)

        request = EnqueueRequest(
            name="t", lines=[line], label="", base_commit="", pins=PINS, version="1",
            route=lambda _: "docops", target_problem=lambda _: None,
        )  # fmt: skip
        await run_enqueue(request, queue=self.queue, open_services=services, clock=self.bench.services.clock)

    async def prepare(self, pins: Pins = PINS, *, reason: str = "") -> NightPlan | None:
        return await prepare_night(
            self.bench.services, self.queue, pins, branch_prefix="pantheon/night-", accepted_because=reason
        )


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    root = make_repository(tmp_path / "user", {"docs/2026.01.01.md": b"queues\n"})
    async with opened(root, tmp_path, NoteScript({})) as bench:
        made = Case(bench, tmp_path)
        await made.enqueue()
        yield made


def alter_lines(folder: Path) -> None:
    path = next(folder.glob("*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b"2026.01.01", b"2026.01.02"))


def remove_files(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def forge_envelope(folder: Path) -> None:
    path = next(folder.glob("*.attestation.json"))
    path.write_bytes(path.read_bytes().replace(b'"sig":"', b'"sig":"AAAA'))


@pytest.mark.parametrize("harm", [alter_lines, remove_files, forge_envelope])
@pytest.mark.parametrize("resumed", [False, True])
async def test_an_altered_queue_is_refused(case: Case, harm: Callable[[Path], None], resumed: bool) -> None:
    """Neither a new night nor a resumed one works a batch that is not as it was signed."""
    plan = await case.prepare()
    assert plan is not None
    if resumed:
        await case.bench.store.open_night(plan.record, plan.tasks)
    harm(case.folder)
    with pytest.raises(PreflightError, match="altered"):
        await case.prepare()


@pytest.mark.parametrize("harm", [alter_lines, remove_files, forge_envelope])
async def test_a_bad_batch_that_is_held_is_in_nobodys_way(case: Case, harm: Callable[[Path], None]) -> None:
    """The refusal names the word that sets it aside; held, the night takes the others, and nothing of it is lost."""
    (bad,) = case.queue.names()
    store = case.bench.store
    kept = {path.name: path.read_bytes() for path in case.folder.iterdir()}
    await case.enqueue(LINE.replace(b'"one"', b'"two"'))
    harm_only(case.folder, bad, harm)
    with pytest.raises(PreflightError, match=bad) as caught:
        await case.prepare()
    assert f"pantheon hold --batch {bad} --reason" in caught.value.hint
    await store.add_order(Verb.HOLD, batch=bad, reason="altered by nobody knows whom", by="t")
    plan = await case.prepare()
    assert plan is not None and [key.rpartition("/")[2] for key in plan.tasks] == ["two"]
    assert [one.batch for one in plan.left_aside] == ([] if harm is remove_files else [bad])
    await store.add_order(Verb.RELEASE, batch=bad, reason="mended", by="t")
    with pytest.raises(PreflightError, match="altered"):
        await case.prepare()
    for name, data in kept.items():
        (case.folder / name).write_bytes(data)
    whole = await case.prepare()
    assert whole is not None and len(whole.tasks) == 2 and whole.left_aside == ()


async def test_an_old_batch_that_was_altered_blocks_nothing_and_is_named(case: Case) -> None:
    """What was worked in a night that is closed is in no later night's way; while that night is open it is."""
    (old,) = case.queue.names()
    plan = await case.prepare()
    assert plan is not None
    await case.bench.store.open_night(plan.record, plan.tasks)
    await case.enqueue(LINE.replace(b'"one"', b'"two"'))
    harm_only(case.folder, old, alter_lines)
    with pytest.raises(PreflightError, match=old):
        await case.prepare()
    await case.bench.store.close_night(plan.record.id, {})
    later = await case.prepare()
    assert later is not None and len(later.tasks) == 1
    assert [one.batch for one in later.left_aside] == [old]


async def test_a_batch_that_nobody_knows_is_refused_until_it_is_moved(case: Case) -> None:
    """A forged batch that the store never had is no old one; moved into a folder below, it is out of the way."""
    (good,) = case.queue.names()
    for path in list(case.folder.iterdir()):
        (case.folder / path.name.replace(good, "0" * 12)).write_bytes(path.read_bytes())
    with pytest.raises(PreflightError, match="0" * 12) as caught:
        await case.prepare()
    assert f"mv queue/{'0' * 12}.* queue/aside/" in caught.value.hint
    (case.folder / "aside").mkdir()
    for path in list(case.folder.glob("0*.*")):
        path.rename(case.folder / "aside" / path.name)
    plan = await case.prepare()
    assert plan is not None and plan.left_aside == ()


def harm_only(folder: Path, name: str, harm: Callable[[Path], None]) -> None:
    """Do to one batch's files what an attack does to all of a folder."""
    apart = folder.parent / "apart"
    apart.mkdir()
    for path in list(folder.glob(f"{name}.*")):
        path.rename(apart / path.name)
    harm(apart)
    for path in list(apart.iterdir()):
        path.rename(folder / path.name)


@pytest.mark.parametrize("resumed", [False, True])
async def test_drift_needs_a_reason(case: Case, resumed: bool) -> None:
    """Changed content is named and refused until the operator says why it is fine."""
    plan = await case.prepare()
    assert plan is not None
    if resumed:
        await case.bench.store.open_night(plan.record, plan.tasks)
    other = Pins(agents={"a": "2" * 64})
    with pytest.raises(PreflightError, match="agents/a has changed"):
        await case.prepare(other)
    accepted = await case.prepare(other, reason="a typo in a comment")
    assert accepted is not None
    assert accepted.resumed is resumed
    assert any("agents/a has changed" in line for line in accepted.drift)


async def test_a_branch_in_the_way_is_named_before_any_work(case: Case) -> None:
    """A branch called like the folder of the night's branch would make every merge fail."""
    git(case.bench.root, "branch", "pantheon")
    with pytest.raises(PreflightError, match="in the way"):
        await case.prepare()


async def test_nothing_pending_is_no_night(case: Case) -> None:
    """Once every task has been taken and the night is closed, there is nothing to do."""
    plan = await case.prepare()
    assert plan is not None
    await case.bench.store.open_night(plan.record, plan.tasks)
    await case.bench.store.close_night(plan.record.id, {})
    assert await case.prepare() is None


def test_two_nights_of_one_second_have_two_names() -> None:
    """A short night that is followed at once by another one does not lend it its name."""
    began = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    first = night_id(began, set())
    second = night_id(began, {first})
    assert (first, second) == ("20260102-030405", "20260102-030405-2")
    assert night_id(began, {first, second}) == "20260102-030405-3"
