"""A store that was lost does not make a night work again what the ledgers of former nights say was worked."""

import os
from functools import partial
from pathlib import Path

import pytest

from pantheon.adapters.past_nights import find_worked
from pantheon.adapters.queue_files import FileQueue
from pantheon.core.errors import PreflightError
from pantheon.core.records import BatchRecord, TaskRecord
from pantheon.engine.custody import refuse_worked_twice
from pantheon.testing.clock import FakeClock
from pantheon.testing.evidence_night import make_night
from pantheon.testing.store import FakeStore

BATCH, NEW = "0" * 12, "a" * 12


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a night that worked the batch has left."""
    return make_night(tmp_path_factory.mktemp("lost")) / "artifacts"


def test_the_ledgers_say_what_was_worked(artifacts: Path, tmp_path: Path) -> None:
    """Nights that are known are passed over, and so is whatever is no ledger."""
    assert find_worked(artifacts, ()) == {BATCH: "n1"}
    assert find_worked(artifacts, {"n1"}) == {}
    assert find_worked(tmp_path / "none", ()) == {}
    for name in ("pipe", "garbage", "link"):
        (tmp_path / name).mkdir()
    os.mkfifo(tmp_path / "pipe" / "ledger.jsonl")
    (tmp_path / "garbage" / "ledger.jsonl").write_bytes(b"{}\n\xff\n" + b"[" * 100_000)
    (tmp_path / "link" / "ledger.jsonl").symlink_to(artifacts / "n1" / "ledger.jsonl")
    assert find_worked(tmp_path, ()) == {}


@pytest.mark.parametrize("registered", [True, False], ids=["enqueued again", "only in the queue"])
async def test_a_batch_that_was_worked_is_refused(artifacts: Path, tmp_path: Path, registered: bool) -> None:
    """Whether the new store has been told of the batch or not; another batch, or a store that knows, is the control."""
    store, queue = FakeStore(FakeClock()), FileQueue(tmp_path)
    look = partial(find_worked, artifacts)

    async def wait_for(batch: str) -> None:
        (tmp_path / f"{batch}.attestation.json").write_text("{}")
        if registered:
            task = TaskRecord(key=f"{batch}/t", batch=batch, line="{}")
            record = BatchRecord(
                name=batch, digest="0" * 64, lines=1, enqueued_at=FakeClock().now(), path="q"
            )
            await store.add_batch(record, [task])

    await wait_for(NEW)
    await refuse_worked_twice(store, queue, look)
    await wait_for(BATCH)
    with pytest.raises(PreflightError, match=f"{BATCH}: night n1") as refused:
        await refuse_worked_twice(store, queue, look)
    assert refused.value.hint
    await refuse_worked_twice(store, queue, lambda _: find_worked(artifacts, {"n1"}))
