"""What a closed night has not reached is worked by the next one, without anybody's word, and once."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from pantheon.adapters.git.landed import read_landed
from pantheon.adapters.keys import read_public_key
from pantheon.adapters.night_verifier import verify_night
from pantheon.adapters.past_nights import find_worked
from pantheon.adapters.queue_files import FileQueue
from pantheon.adapters.store import open_store
from pantheon.adapters.witness_file import read_witness
from pantheon.core.batch import Pins
from pantheon.core.budget import Ceilings
from pantheon.core.dsse import parse_envelope, peek_payload
from pantheon.core.errors import PreflightError, StoreError
from pantheon.core.orders import Verb
from pantheon.core.policy import NightBudget, NightPolicy
from pantheon.core.records import NightState, TaskOutcome
from pantheon.core.statement import parse_statement
from pantheon.core.task import Task
from pantheon.core.verify import Flaw
from pantheon.engine.custody import refuse_worked_twice
from pantheon.engine.enqueue import EnqueueRequest, EnqueueServices, run_enqueue
from pantheon.engine.night import NightSummary
from pantheon.engine.night_summary import end_night
from pantheon.engine.preflight import NightPlan, prepare_night
from pantheon.ports.signer import Signer
from pantheon.shell.cli.night_text import WORK_LEFT, exit_code
from pantheon.testing.night import BATCH, Bench, NoteScript, opened
from pantheon.testing.sample_notes import NOTES, PROPOSALS
from pantheon.testing.user_repository import git, make_repository

TARGETS = tuple(NOTES)
FIRST, SECOND = f"{BATCH}/2026.01.01", f"{BATCH}/2026.01.02"
WHY = {"reason": "because", "by": "ann"}
NEEDS = {"2026.01.02": ("2026.01.01",)}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    root = make_repository(tmp_path / "user", NOTES)
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as found:
        yield found


def over(bench: Bench) -> None:
    """Let the window have ended."""
    bench.ends_at = bench.services.clock.now() - timedelta(seconds=1)


def budget(bench: Bench, **given: object) -> None:
    policy = NightPolicy(budget=NightBudget.model_validate(given))
    bench.services = replace(bench.services, content=replace(bench.services.content, night_policy=policy))


async def pending(bench: Bench) -> list[str]:
    return [task.key for task in await bench.store.tasks(pending=True)]


async def again(bench: Bench, night: str = "n2") -> NightSummary:
    """Run the next night over what waits."""
    bench.ends_at = None
    budget(bench)
    return await bench.night(TARGETS, night=night)


def landed(bench: Bench, night: str) -> list[str]:
    values = "--format=%(trailers:key=Pantheon-Task,valueonly)"
    return sorted(git(bench.root, "log", values, f"main..pantheon/night-{night}").split())


async def test_what_the_window_left_is_worked_the_next_night(bench: Bench, tmp_path: Path) -> None:
    """The first ends with 5 and keeps what it made of them; the second says, signed, from where its tasks come."""
    over(bench)
    summary = await bench.night(TARGETS)
    assert (summary.outcomes, exit_code(summary)) == ({"not_reached": 2}, WORK_LEFT)
    assert await pending(bench) == [FIRST, SECOND]
    assert (await bench.store.counts()).left == {"n1": 2}
    second = await again(bench)
    assert second.outcomes == {"accepted": 2}
    assert landed(bench, "n2") == [FIRST, SECOND]
    first, last = await bench.store.nights()
    assert (first.state, first.summary["carried_over"], last.summary["left_by"]) == ("closed", 2, {"n1": 2})
    assert [task.outcome for task in await bench.store.tasks(night="n1")] == [TaskOutcome.NOT_REACHED] * 2
    opening = (await bench.store.events("n2", name="night.opened"))[0]
    assert opening.details == {"tasks": 2, "left": {"n1": 2}}
    assert (await bench.store.counts()).left == {}
    for night in ("n1", "n2"):
        verdict = verify_night(
            tmp_path / "artifacts" / night,
            read_public_key(tmp_path / "keys" / "night.pub.pem"),
            witness=read_witness(tmp_path / "witness" / "checkpoints.jsonl"),
            landed=partial(read_landed, bench.root),
        )
        assert [one for one in verdict.defects if one.flaw is not Flaw.UNCONTAINED] == []
    closing = (tmp_path / "artifacts" / "n2" / "ledger.jsonl").read_bytes().splitlines()[-1]
    said = parse_statement(peek_payload(parse_envelope(closing))).predicate
    assert said["leftBy"] == {"n1": 2}
    assert (await again(bench, "n3")).outcomes == {}


async def test_a_spent_night_begins_afresh_in_the_next(bench: Bench) -> None:
    """What its budget left is worked whole, with a budget of its own, after what it needs was accepted."""
    budget(bench, steps=1)
    summary = await bench.night(TARGETS, needs=NEEDS)
    assert exit_code(summary) == WORK_LEFT
    assert await pending(bench) == [FIRST, SECOND]
    assert (await again(bench)).outcomes == {"accepted": 2}
    attempts = await bench.store.attempts("n2")
    assert [one.attempt for one in attempts] == [1] * len(attempts)


async def test_a_task_that_spent_its_own_budget_waits_for_a_person(bench: Bench) -> None:
    """It would end the same way again, and so would what needs it."""
    budget(bench, task=Ceilings(output_tokens=1))
    await bench.night(TARGETS, needs=NEEDS)
    ends = [(task.outcome, task.cause) for task in await bench.store.tasks(night="n1")]
    assert [outcome for outcome, _ in ends] == [TaskOutcome.NOT_REACHED, TaskOutcome.BLOCKED]
    assert f"the budget of task {FIRST} is spent" in ends[0][1]
    assert await pending(bench) == []
    assert await bench.store.requeue(FIRST, **WHY) == (FIRST, SECOND)
    assert await pending(bench) == [FIRST, SECOND]


async def test_what_a_packages_budget_left_goes_on(bench: Bench) -> None:
    """It is for one night, and shared: the next night has a whole one."""
    tasks = [
        Task(id=Path(one).stem, kind="docops", goal="Catalogue it", targets=(one,), package="docs")
        for one in TARGETS
    ]
    budget(bench, package={"docs": Ceilings(steps=1)})
    summary = await bench.work(tasks)
    left = [task.key for task in summary.tasks if task.outcome is TaskOutcome.NOT_REACHED]
    assert left
    assert all(
        "the budget of package docs is spent" in task.cause for task in summary.tasks if task.key in left
    )
    assert await pending(bench) == left
    budget(bench)
    assert (await bench.work(tasks, night="n2")).outcomes == {"accepted": len(left)}


async def test_a_task_goes_along_with_the_one_it_needs(bench: Bench) -> None:
    """Too long for what is left of the window, the first is not reached and the second blocked by it: both go on."""
    bench.ends_at = bench.services.clock.now() + timedelta(seconds=10)
    summary = await bench.night(TARGETS, needs=NEEDS)
    ends = {task.key: task.outcome for task in summary.tasks}
    assert ends == {FIRST: TaskOutcome.NOT_REACHED, SECOND: TaskOutcome.BLOCKED}
    assert await pending(bench) == [FIRST, SECOND]
    assert (await again(bench)).outcomes == {"accepted": 2}


async def test_what_is_held_waits_for_its_release_and_holds_back_what_needs_it(bench: Bench) -> None:
    """Neither is worked before; the night that finds only them does not begin, and no night is refused for it."""
    over(bench)
    await bench.night(TARGETS, needs=NEEDS)
    await bench.store.add_order(Verb.HOLD, task=FIRST, **WHY)
    assert await pending(bench) == [SECOND]
    assert (await again(bench)).outcomes == {"not_reached": 1}
    assert (await bench.store.counts()).left == {"n2": 1}
    await bench.store.add_order(Verb.RELEASE, task=FIRST, **WHY)
    assert await pending(bench) == [FIRST, SECOND]
    assert (await again(bench, "n3")).outcomes == {"accepted": 2}
    assert (await bench.store.nights())[-1].summary["left_by"] == {"n1": 1, "n2": 1}


async def test_cancelled_ones_stay_out(bench: Bench) -> None:
    """Cancelled while it waits, a task is worked no more."""
    over(bench)
    await bench.night(TARGETS)
    await bench.store.add_order(Verb.CANCEL, task=FIRST, **WHY)
    assert await pending(bench) == [SECOND]
    assert (await again(bench)).outcomes == {"accepted": 1}
    assert landed(bench, "n2") == [SECOND]


async def test_a_requeue_of_what_waits_anyway_doubles_nothing(bench: Bench) -> None:
    """It is somebody's wish from then on, once; the next night takes it once."""
    over(bench)
    await bench.night(TARGETS)
    assert await bench.store.requeue(FIRST, **WHY) == (FIRST,)
    assert (await bench.store.counts()).left == {"n1": 1}
    assert await pending(bench) == [FIRST, SECOND]
    assert (await again(bench)).outcomes == {"accepted": 2}
    assert (await bench.store.nights())[-1].summary["left_by"] == {"n1": 1}


async def test_a_change_that_landed_unrecorded_is_not_made_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process died between the merge and its record, the window then ended: its branch has the change already."""
    store = bench.store
    settle = type(store).settle

    async def dies(self: object, lease: object, result: object, **more: object) -> None:
        if str(getattr(lease, "node", "")).endswith("#merge"):
            raise StoreError("the disk is gone")
        await settle(self, lease, result, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(type(store), "settle", dies)
    with pytest.raises(BaseExceptionGroup):
        await bench.night(TARGETS[:1])
    monkeypatch.undo()
    assert landed(bench, "n1") == [FIRST]
    over(bench)
    summary = await bench.night(TARGETS[:1])
    assert not summary.left_open
    assert await pending(bench) == []
    assert landed(bench, "n1") == [FIRST]


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
async def test_a_night_that_dies_while_it_closes_hands_on_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """Before the write it is open and hands on nothing, after it all; gone on with, each task is worked once."""
    store = bench.store
    close = type(store).close_night

    async def dies(self: object, night: str, summary: dict[str, object], **more: object) -> None:
        if written:
            await close(self, night, summary, **more)  # type: ignore[arg-type]
        raise StoreError("the disk is gone")

    over(bench)
    monkeypatch.setattr(type(store), "close_night", dies)
    with pytest.raises(StoreError):
        await bench.night(TARGETS)
    monkeypatch.undo()
    (night,) = await store.nights()
    assert (night.state is NightState.CLOSED, len(await pending(bench))) == (written, 2 if written else 0)
    if not written:
        assert (await bench.night(TARGETS)).carried_over == (FIRST, SECOND)
    await store.close_night("n1", {}, carry=[FIRST, SECOND])
    assert (await again(bench)).outcomes == {"accepted": 2}
    await store.close_night("n1", {}, carry=[FIRST, SECOND])
    assert await pending(bench) == []


class Queue:
    """A repository's signed queue, and nights that are prepared from it."""

    def __init__(self, bench: Bench, tmp_path: Path) -> None:
        self.bench, self.files = bench, FileQueue(tmp_path / "queue")

    async def enqueue(self, *lines: bytes, pins: Pins) -> None:
        @asynccontextmanager
        async def services() -> AsyncIterator[EnqueueServices]:
            signer = cast("Signer", self.bench.services.signer)
            yield EnqueueServices(store=self.bench.store, signer=signer)

        request = EnqueueRequest(
            name="t", lines=list(lines), label="", base_commit="", pins=pins, version="1",
            route=lambda _: "docops", target_problem=lambda _: None,
        )  # fmt: skip
        await run_enqueue(request, queue=self.files, open_services=services, clock=self.bench.services.clock)

    async def prepare(self, pins: Pins, opened_at: datetime | None = None) -> NightPlan | None:
        return await prepare_night(
            self.bench.services,
            self.files,
            pins,
            branch_prefix="pantheon/night-",
            accepted_because="",
            left_before=opened_at,
        )

    async def leave(self, plan: NightPlan, outcomes: dict[str, TaskOutcome]) -> None:
        """Let a night end so."""
        store = self.bench.store
        await store.open_night(plan.record, plan.tasks)
        for key in plan.tasks:
            await store.finish_task(plan.record.id, key, outcomes[key.rpartition("/")[2]], "")
        await end_night(replace(self.bench.services, open_ledger=None), plan.record, None, 0.0)


PINS = Pins(agents={"a": "1" * 64})
ONE = b'{"id": "one", "kind": "docops", "goal": "g", "targets": ["docs/2026.01.01.md"]}'
TWO = b'{"id": "two", "kind": "docops", "goal": "g", "targets": ["docs/2026.01.02.md"], "needs": ["one"]}'


async def test_what_is_taken_up_is_checked_like_any_batch(bench: Bench, tmp_path: Path) -> None:
    """Its signed lines must be as they were, and what it was frozen with as it was."""
    queue = Queue(bench, tmp_path)
    await queue.enqueue(ONE, TWO, pins=PINS)
    plan = await queue.prepare(PINS)
    assert plan is not None
    await queue.leave(plan, {"one": TaskOutcome.ACCEPTED, "two": TaskOutcome.NOT_REACHED})
    after = await queue.prepare(PINS)
    assert after is not None and [key.rpartition("/")[2] for key in after.tasks] == ["two"]
    with pytest.raises(PreflightError, match="changed since"):
        await queue.prepare(Pins(agents={"a": "2" * 64}))
    path = next((tmp_path / "queue").glob("*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b'"g"', b'"h"'))
    with pytest.raises(PreflightError, match="altered"):
        await queue.prepare(PINS)


async def test_a_task_whose_need_is_held_is_no_night(bench: Bench, tmp_path: Path) -> None:
    """Nothing begins, and nothing is refused; the same lines enqueued again add nothing to what waits."""
    queue = Queue(bench, tmp_path)
    await queue.enqueue(ONE, TWO, pins=PINS)
    plan = await queue.prepare(PINS)
    assert plan is not None
    await queue.leave(plan, {"one": TaskOutcome.NOT_REACHED, "two": TaskOutcome.BLOCKED})
    await queue.enqueue(ONE, TWO, pins=PINS)
    assert len(await pending(bench)) == 2
    await bench.store.add_order(Verb.HOLD, task=plan.tasks[0], **WHY)
    assert await queue.prepare(Pins(agents={"a": "2" * 64})) is None


async def test_a_night_of_the_same_window_leaves_it_to_the_next(bench: Bench, tmp_path: Path) -> None:
    """It takes what came since, and neither what was left in its own window nor what needs that."""
    queue = Queue(bench, tmp_path)
    await queue.enqueue(ONE, TWO, pins=PINS)
    opened_at = bench.services.clock.now()
    plan = await queue.prepare(PINS)
    assert plan is not None
    await queue.leave(plan, {"one": TaskOutcome.NOT_REACHED, "two": TaskOutcome.BLOCKED})
    assert await queue.prepare(PINS, opened_at) is None
    await queue.enqueue(ONE.replace(b'"one"', b'"new"'), pins=PINS)
    later = await queue.prepare(PINS, opened_at)
    assert later is not None and [key.rpartition("/")[2] for key in later.tasks] == ["new"]
    next_window = await queue.prepare(PINS, bench.services.clock.now())
    assert next_window is not None and len(next_window.tasks) == 3


async def test_a_store_that_was_set_back_works_nothing_twice(bench: Bench, tmp_path: Path) -> None:
    """A copy from before the second night knows only that the tasks wait; that night's ledger says otherwise."""
    over(bench)
    await bench.night(TARGETS)
    copy = tmp_path / "copy.db"
    with (
        closing(sqlite3.connect(tmp_path / "state" / "pantheon.db")) as now,
        closing(sqlite3.connect(copy)) as then,
    ):
        now.backup(then)
    queue = FileQueue(tmp_path / "queue")
    find = partial(find_worked, tmp_path / "artifacts")
    await refuse_worked_twice(bench.store, queue, find)
    assert (await again(bench)).outcomes == {"accepted": 2}
    await refuse_worked_twice(bench.store, queue, find)
    old = await open_store(copy, bench.services.clock)
    try:
        assert len(await old.tasks(pending=True)) == 2
        with pytest.raises(PreflightError, match="worked again"):
            await refuse_worked_twice(old, queue, find)
    finally:
        await old.aclose()
