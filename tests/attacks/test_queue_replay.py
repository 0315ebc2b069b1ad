"""Attacks on the queue by replay: a batch put back, renamed, mixed, signed by somebody else, or an id given twice."""

import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pantheon.adapters.queue_files import FileQueue
from pantheon.core.batch import Pins
from pantheon.core.errors import PreflightError, QueueError, SignatureError
from pantheon.engine.custody import refuse_lost_key
from pantheon.engine.enqueue import EnqueueOutcome, EnqueueRequest, EnqueueServices, run_enqueue
from pantheon.engine.preflight import NightPlan, prepare_night
from pantheon.ports.signer import Signer
from pantheon.testing.night import Bench, NoteScript, opened
from pantheon.testing.sample_notes import NOTES, PROPOSALS
from pantheon.testing.signing import FakeSigner
from pantheon.testing.user_repository import make_repository

NOTE, OTHER = NOTES


def line(id_: str, target: str) -> bytes:
    return json.dumps(
        {"id": id_, "kind": "docops", "goal": "Catalogue the note", "targets": [target]}
    ).encode()


class Queue:
    """A repository's queue, and the nights that take from it."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.folder = bench, folder
        self.queue = FileQueue(folder)

    async def enqueue(self, *lines: bytes, signer: Signer | None = None, label: str = "") -> EnqueueOutcome:
        own = signer or self.bench.services.signer

        @asynccontextmanager
        async def services() -> AsyncIterator[EnqueueServices]:
            yield EnqueueServices(store=self.bench.store, signer=own)  # type: ignore[arg-type]

        request = EnqueueRequest(
            name="t", lines=list(lines), label=label, base_commit="", pins=Pins(), version="1",
            route=lambda _: "docops", target_problem=lambda _: None,
        )  # fmt: skip
        result = await run_enqueue(
            request, queue=self.queue, open_services=services, clock=self.bench.services.clock
        )
        return result.outcome

    async def prepare(self) -> NightPlan | None:
        return await prepare_night(
            self.bench.services, self.queue, Pins(), branch_prefix="pantheon/night-", accepted_because=""
        )

    async def work(self) -> None:
        """Take what is pending and close the night over it."""
        plan = await self.prepare()
        assert plan is not None
        await self.bench.store.open_night(plan.record, plan.tasks)
        await self.bench.store.close_night(plan.record.id, {})

    def files(self) -> tuple[Path, Path]:
        lines = next(self.folder.glob("*.jsonl"))
        return lines, lines.with_suffix(".attestation.json")


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Queue]:
    root = make_repository(tmp_path / "user", NOTES)
    async with opened(root, tmp_path / "night", NoteScript(PROPOSALS)) as bench:
        yield Queue(bench, tmp_path / "queue")


async def test_control_a_signed_batch_is_taken_once(queue: Queue) -> None:
    """What was enqueued is pending, and after a night over it nothing is."""
    await queue.enqueue(line("one", NOTE))
    plan = await queue.prepare()
    assert plan is not None
    assert len(plan.tasks) == 1
    await queue.work()
    assert await queue.prepare() is None


async def test_a_batch_put_back_is_not_worked_again(queue: Queue, tmp_path: Path) -> None:
    """The very same files, kept and put back after the night, are the batch that was worked."""
    await queue.enqueue(line("one", NOTE))
    shutil.copytree(queue.folder, tmp_path / "kept")
    await queue.work()
    shutil.rmtree(queue.folder)
    shutil.copytree(tmp_path / "kept", queue.folder)
    assert await queue.prepare() is None


async def test_the_same_lines_enqueued_again_are_the_same_batch(queue: Queue) -> None:
    """An enqueue that is replayed says that there is nothing to do."""
    await queue.enqueue(line("one", NOTE))
    await queue.work()
    assert await queue.enqueue(line("one", NOTE)) is EnqueueOutcome.UNCHANGED
    assert await queue.prepare() is None


def _rename(queue: Queue) -> None:
    for path in queue.files():
        shutil.copy(path, path.with_name("0" * 12 + path.name[12:]))


def _plant_entry(queue: Queue) -> None:
    lines, _ = queue.files()
    lines.write_bytes(lines.read_bytes() * 2)


def _same_id_other_content(queue: Queue) -> None:
    lines, _ = queue.files()
    lines.write_bytes(lines.read_bytes() + line("one", OTHER) + b"\n")


def _other_content(queue: Queue) -> None:
    lines, _ = queue.files()
    lines.write_bytes(lines.read_bytes().replace(NOTE.encode(), OTHER.encode()))


@pytest.mark.parametrize("attack", [_rename, _plant_entry, _same_id_other_content, _other_content])
async def test_what_was_not_signed_so_is_refused(queue: Queue, attack: Callable[[Queue], None]) -> None:
    """Renamed, without signature, an entry twice, an id with other content: no night starts."""
    await queue.enqueue(line("one", NOTE))
    attack(queue)
    with pytest.raises(PreflightError, match="altered"):
        await queue.prepare()


@pytest.mark.parametrize("attack", [_plant_entry, _same_id_other_content, _other_content])
async def test_what_is_put_into_a_batch_that_was_worked_is_never_worked(
    queue: Queue, attack: Callable[[Queue], None]
) -> None:
    """It makes no night; a night over other batches takes theirs alone, and names the altered one."""
    await queue.enqueue(line("one", NOTE))
    await queue.work()
    old = queue.files()[0].stem
    attack(queue)
    assert await queue.prepare() is None
    await queue.enqueue(line("new", OTHER))
    plan = await queue.prepare()
    assert plan is not None
    assert [key.rpartition("/")[2] for key in plan.tasks] == ["new"]
    assert [problem.batch for problem in plan.left_aside] == [old]


async def test_a_worked_batch_under_another_name_is_refused(queue: Queue) -> None:
    """A copy with a new name is no old batch, also after a night."""
    await queue.enqueue(line("one", NOTE))
    await queue.work()
    _rename(queue)
    with pytest.raises(PreflightError, match="altered"):
        await queue.prepare()


async def test_lines_without_a_signature_are_not_taken(queue: Queue) -> None:
    """Lines planted beside a batch are what an enqueue that died leaves: nobody has said that they may run."""
    await queue.enqueue(line("one", NOTE))
    lines, _ = queue.files()
    (queue.folder / ("1" * 12 + ".jsonl")).write_bytes(lines.read_bytes().replace(b"one", b"two"))
    plan = await queue.prepare()
    assert plan is not None
    assert [task.rpartition("/")[2] for task in plan.tasks] == ["one"]


async def test_a_batch_signed_by_somebody_else_is_refused(queue: Queue) -> None:
    """A sound batch by another key is nobody's here."""
    await queue.enqueue(line("one", NOTE), signer=FakeSigner(9))
    with pytest.raises(PreflightError, match="altered") as refused:
        await queue.prepare()
    assert f"signed by the key {FakeSigner(9).key_id}" in refused.value.message
    with pytest.raises(SignatureError, match=FakeSigner(9).key_id):
        refuse_lost_key(queue.queue, "keys/night")


async def test_an_id_given_twice_is_refused_when_it_is_enqueued(queue: Queue) -> None:
    """One file, one id, one task."""
    with pytest.raises(QueueError):
        await queue.enqueue(line("one", NOTE), line("one", OTHER))
    assert not queue.folder.exists() or not list(queue.folder.glob("*.jsonl"))
