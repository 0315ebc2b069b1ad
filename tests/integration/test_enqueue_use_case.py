"""Enqueueing is all or nothing, idempotent, and heals whatever an interruption left."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pantheon.adapters.queue_files import FileQueue
from pantheon.core.batch import Pins, read_claim
from pantheon.core.dsse import open_envelope, parse_envelope
from pantheon.core.errors import FlowError, QueueError, SignatureError, StoreError
from pantheon.core.statement import parse_statement
from pantheon.core.task import Task
from pantheon.engine.enqueue import (
    EnqueueOutcome,
    EnqueueRequest,
    EnqueueResult,
    EnqueueServices,
    preview_enqueue,
    run_enqueue,
)
from pantheon.testing.clock import FakeClock
from pantheon.testing.signing import FakeSigner
from pantheon.testing.steps import Steps
from pantheon.testing.store import FakeStore

LINES = (
    b'{"id":"a","kind":"docops","package":"docs","goal":"g","targets":["docs/a.md"]}',
    b"",
    b'{"goal":"g","needs":["a"],"kind":"docops","id":"b"}',
)
PINS = Pins(flows={"docops": "1" * 64})


def route(task: Task) -> str:
    if task.kind != "docops":
        raise FlowError(f"no flow accepts the kind {task.kind!r}")
    return "docops"


@dataclass
class Place:
    """A repository's queue with its services."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    signer: FakeSigner = field(default_factory=FakeSigner)
    opened: int = 0

    def __post_init__(self) -> None:
        self.queue = FileQueue(self.folder)
        self.store = FakeStore(self.clock)

    @asynccontextmanager
    async def services(self) -> AsyncIterator[EnqueueServices]:
        self.opened += 1
        yield EnqueueServices(store=self.store, signer=self.signer)

    def request(self, *lines: bytes | None, **changes: Any) -> EnqueueRequest:
        values: dict[str, Any] = {
            "name": "f", "lines": lines or LINES, "label": "", "base_commit": "c" * 40, "pins": PINS,
            "version": "1", "route": route,
            "target_problem": lambda target: "a link" if "link" in target else None,
        }  # fmt: skip
        return EnqueueRequest(**{**values, **changes})

    async def enqueue(self, *lines: bytes | None, **changes: Any) -> EnqueueResult:
        return await run_enqueue(
            self.request(*lines, **changes), queue=self.queue, open_services=self.services, clock=self.clock
        )

    def files(self) -> list[str]:
        return sorted(os.listdir(self.folder)) if self.folder.exists() else []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "queue")


async def test_a_good_file_becomes_a_signed_batch(place: Place) -> None:
    """Canonical lines in order, a statement about exactly them, and the tasks in the store."""
    result = await place.enqueue()
    assert result.outcome is EnqueueOutcome.CREATED
    assert result.tasks == 2
    assert result.batch == result.digest[:12]
    assert result.path == f"queue/{result.batch}.jsonl"
    assert result.preview.flows == {"docops": 2}
    assert result.preview.packages == {"docs": 1, "": 1}
    assert result.preview.levels == (1, 1)
    assert place.files() == [f"{result.batch}.attestation.json", f"{result.batch}.jsonl"]
    lines = list(place.queue.read_lines(result.batch))
    assert [json.loads(line)["id"] for line in lines] == ["a", "b"]
    envelope = parse_envelope(place.queue.read_envelope(result.batch))
    claim = read_claim(parse_statement(open_envelope(envelope, [place.signer.public_key])))
    assert (claim.digest, claim.lines, claim.pins) == (result.digest, 2, PINS)
    assert claim.enqueued_at == "2026-01-01T22:00:00+00:00"
    tasks = await place.store.tasks()
    assert [task.key for task in tasks] == [f"{result.batch}/a", f"{result.batch}/b"]
    assert [task.line.encode() for task in tasks] == lines
    (batch,) = await place.store.batches()
    assert (batch.name, batch.path, batch.lines) == (result.batch, result.path, 2)


async def test_a_second_time_is_a_no_op_that_says_so(place: Place) -> None:
    """Same content, same name, however it was written down; no file changes, no task is added."""
    first = await place.enqueue()
    before = {name: (place.folder / name).stat().st_mtime_ns for name in place.files()}
    place.clock.advance(60)
    again = await place.enqueue(
        *(json.dumps(json.loads(line), indent=None).encode() for line in LINES if line)
    )
    assert again.outcome is EnqueueOutcome.UNCHANGED
    assert again.batch == first.batch
    assert {name: (place.folder / name).stat().st_mtime_ns for name in place.files()} == before
    assert len(await place.store.tasks()) == 2


async def test_a_label_makes_a_second_time(place: Place) -> None:
    """Another name, the same lines; and each label is idempotent in itself."""
    first = await place.enqueue()
    second = await place.enqueue(label="again")
    assert second.outcome is EnqueueOutcome.CREATED
    assert (second.digest, second.batch != first.batch) == (first.digest, True)
    assert (await place.enqueue(label="again")).outcome is EnqueueOutcome.UNCHANGED
    assert len(await place.store.tasks()) == 4


WRONG: dict[str, tuple[tuple[bytes | None, ...], list[str]]] = {
    "a wrong line among good ones": ((*LINES, b"{"), ["f:4: line"]),
    "a line too long": ((LINES[0], None), ["f:2: line"]),
    "no flow": ((b'{"kind":"other","goal":"g"}',), ["f:1: kind: no flow accepts"]),
    "a link": ((b'{"kind":"docops","goal":"g","targets":["docs/a.md","link"]}',), ["f:1: targets.1: a link"]),
    "everything at once": (
        (b'{"kind":"other","goal":"","targets":["link"]}', b'{"kind":"docops","goal":"g","needs":["x"]}'),
        ["f:1: goal", "f:1: kind: no flow", "f:1: targets.0: a link", "f:2: needs.0"],
    ),
    "a circle": ((b'{"id":"a","kind":"docops","goal":"g","needs":["a"]}',), ["f:1: needs.0"]),
    "nothing": ((b"",), ["f:1: line: the file holds no task"]),
}


@pytest.mark.parametrize("case", WRONG)
async def test_one_problem_and_nothing_is_written(place: Place, case: str) -> None:
    """Every problem is named; there is no file, no key, no database and no record."""
    lines, expected = WRONG[case]
    with pytest.raises(QueueError) as caught:
        await place.enqueue(*lines)
    found = caught.value.problems
    assert len(found) == len(expected), found
    for text, start in zip(found, expected, strict=True):
        assert text.startswith(start)
    assert caught.value.exit_code == 2
    assert place.files() == []
    assert place.opened == 0
    with pytest.raises(QueueError):
        await preview_enqueue(place.request(*lines), queue=place.queue)


async def test_a_preview_writes_nothing(place: Place) -> None:
    """Not even the folder."""
    result = await preview_enqueue(place.request(), queue=place.queue)
    assert result.outcome is EnqueueOutcome.PREVIEWED
    assert not place.folder.exists()
    assert result.batch == (await place.enqueue()).batch


async def test_a_kill_between_the_two_files_heals(place: Place) -> None:
    """Lines without an envelope get one."""
    result = await place.enqueue()
    (place.folder / f"{result.batch}.attestation.json").unlink()
    assert place.queue.names() == ()
    assert (await place.enqueue()).outcome is EnqueueOutcome.COMPLETED
    assert place.queue.names() == (result.batch,)


async def test_a_kill_before_the_store_heals(place: Place) -> None:
    """Signed files that the store does not know are registered by the next call."""
    place.store.fail = StoreError("the disk is full")
    with pytest.raises(StoreError):
        await place.enqueue()
    place.store.fail = None
    assert await place.store.tasks() == ()
    assert (await place.enqueue()).outcome is EnqueueOutcome.COMPLETED
    assert len(await place.store.tasks()) == 2
    assert (await place.enqueue()).outcome is EnqueueOutcome.UNCHANGED


async def test_drift_is_signed_again_and_named(place: Place) -> None:
    """Enqueueing again is how a batch that drifted becomes good; its lines stay as they are."""
    first = await place.enqueue()
    pins = Pins(flows={"docops": "2" * 64})
    again = await place.enqueue(pins=pins)
    assert again.outcome is EnqueueOutcome.RENEWED
    assert again.drift == ("flows/docops has changed",)
    envelope = parse_envelope(place.queue.read_envelope(first.batch))
    claim = read_claim(parse_statement(open_envelope(envelope, [place.signer.public_key])))
    assert claim.pins == pins
    assert (await place.enqueue(pins=pins)).outcome is EnqueueOutcome.UNCHANGED
    assert len(await place.store.tasks()) == 2


async def test_another_commit_is_no_drift(place: Place) -> None:
    """A repository moves on by day; that alone asks for nothing."""
    await place.enqueue()
    assert (await place.enqueue(base_commit="d" * 40)).outcome is EnqueueOutcome.UNCHANGED


@pytest.mark.parametrize("envelope", [b"", b"{}", b"rubbish"])
async def test_an_envelope_that_does_not_hold_is_replaced(place: Place, envelope: bytes) -> None:
    """The lines are the ones that are enqueued now, so they may be signed now."""
    result = await place.enqueue()
    (place.folder / f"{result.batch}.attestation.json").write_bytes(envelope)
    assert (await place.enqueue()).outcome is EnqueueOutcome.RENEWED
    assert (await place.enqueue()).outcome is EnqueueOutcome.UNCHANGED


async def test_a_batch_signed_by_another_key_is_signed_again(place: Place) -> None:
    """A lost key does not lose the queue."""
    await place.enqueue()
    place.signer = FakeSigner(2)
    assert (await place.enqueue()).outcome is EnqueueOutcome.RENEWED


@pytest.mark.parametrize("change", [b"{}\n", b"", b"no newline"])
async def test_altered_lines_are_refused_and_left(place: Place, change: bytes) -> None:
    """They are named, they stay as they are, and their tasks do not get into the store."""
    result = await place.enqueue()
    file = place.folder / f"{result.batch}.jsonl"
    file.write_bytes(change)
    place.store = FakeStore(place.clock)
    with pytest.raises(SignatureError, match=result.batch):
        await place.enqueue()
    assert file.read_bytes() == change
    assert await place.store.tasks() == ()


async def test_two_at_once_make_one_batch(place: Place) -> None:
    """Whoever is second finds the work done; nobody fails."""
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(place.enqueue(), name=f"enqueue-{number}") for number in range(5)]
    assert {call.result().batch for call in calls} == {calls[0].result().batch}
    assert len(place.files()) == 2
    assert len(await place.store.tasks()) == 2


@pytest.mark.parametrize("late", [False, True])
async def test_cancelled_at_any_step_it_is_completed_by_the_next_time(tmp_path: Path, late: bool) -> None:
    """No draft is left, no file of a batch is torn away from the other, and saying it again does the rest."""
    for at in range(1, 60):
        place = Place(tmp_path / f"{at}")
        steps = Steps(at, late=late)
        await asyncio.wait([steps.start(place.enqueue(), name="enqueue")])
        left = place.files()
        assert not [name for name in left if name.startswith(".")]
        assert len(left) in (0, 2)
        await place.enqueue()
        assert len(place.files()) == 2
        assert len(await place.store.tasks()) == 2
        if steps.count < at:
            assert at > 5, "each thread is waited for"
            return
    pytest.fail("the file was never enqueued")


async def test_cancelling_leaves_nothing(place: Place) -> None:
    """Neither a draft nor a thread that goes on reading."""
    request = place.request()

    def endless() -> Iterator[bytes]:
        number = 0
        while not request.stop.is_set():
            yield b'{"id":"%d","kind":"docops","goal":"g"}' % number
            number += 1

    object.__setattr__(request, "lines", endless())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await run_enqueue(request, queue=place.queue, open_services=place.services, clock=place.clock)
    assert request.stop.is_set()
    async with asyncio.timeout(20):
        while place.files():  # noqa: ASYNC110 - the thread that reads tells nobody
            await asyncio.sleep(0.01)
    assert place.opened == 0
