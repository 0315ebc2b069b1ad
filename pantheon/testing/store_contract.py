"""What every store must do, as a pytest suite; what it must do for attempts is in ``lease_contract``.

A store's own test file subclasses ``StoreContract`` and ``LeaseContract`` and gives the fixtures
``store`` (empty) and ``clock`` (the one the store was given).
"""

from typing import Any

import pytest

from pantheon.core.errors import StoreError, TransitionError
from pantheon.core.records import (
    AttemptOutcome,
    AttemptResult,
    BatchRecord,
    Conclusion,
    EventRecord,
    NightRecord,
    NightState,
    NodeRecord,
    NodeState,
    TaskOutcome,
    TaskRecord,
)
from pantheon.ports.store import Store
from pantheon.testing.clock import FakeClock

NIGHT = "2026-01-01"
DONE = AttemptResult(
    outcome=AttemptOutcome.SUCCEEDED,
    node_state=NodeState.SUCCEEDED,
    output_commit="c1",
    artifacts="a/b/1",
    metrics={"tokens": 7, "steps": [1, 2], "seconds": 0.5},
)
FAILED = AttemptResult(outcome=AttemptOutcome.FAILED, node_state=NodeState.FAILED, cause="no title")


def batch_of(clock: FakeClock, name: str, *ids: str) -> tuple[BatchRecord, list[TaskRecord]]:
    """Return a batch with a task for each id."""
    batch = BatchRecord(
        name=name, digest="d" * 64, lines=len(ids), enqueued_at=clock.now(), path=f"queue/{name}.jsonl"
    )
    tasks = [TaskRecord(key=f"{name}/{one}", batch=name, line=f'{{"id":"{one}"}}') for one in ids]
    return batch, tasks


def night_of(clock: FakeClock, night: str = NIGHT) -> NightRecord:
    """Return a night that starts now."""
    return NightRecord(id=night, base_commit="c0", branch=f"pantheon/night-{night}", started_at=clock.now())


def node_of(key: str, state: NodeState = NodeState.WAITING, **more: Any) -> NodeRecord:
    """Return a node of task ``b/one``."""
    return NodeRecord(night=NIGHT, key=key, task="b/one", node=key, state=state, **more)


async def begin(store: Store, clock: FakeClock, *nodes: NodeRecord) -> None:
    """Enqueue tasks ``b/one`` and ``b/two``, open the night over them and add the nodes."""
    batch, tasks = batch_of(clock, "b", "one", "two")
    await store.add_batch(batch, tasks)
    await store.open_night(night_of(clock), [task.key for task in tasks])
    await store.add_nodes(nodes)


async def names(store: Store, night: str = NIGHT) -> list[tuple[str, str]]:
    """Return the night's events as subject and name."""
    return [(event.subject, event.name) for event in await store.events(night)]


async def state_of(store: Store, key: str) -> NodeState:
    """Return a node's state."""
    return next(node.state for node in await store.nodes(NIGHT) if node.key == key)


class StoreContract:
    """The port's promises about batches, nights, nodes, tasks and events."""

    async def test_a_batch_comes_back_as_it_was_and_only_once(self, store: Store, clock: FakeClock) -> None:
        """What was enqueued is read back in queue order; its name is taken from then on."""
        batch, tasks = batch_of(clock, "b", "two", "one")
        assert await store.add_batch(batch, tasks) is True
        again, others = batch_of(clock, "b", "three")
        assert await store.add_batch(again, others) is False
        assert await store.batches() == (batch,)
        assert await store.tasks() == tuple(tasks)
        assert await store.tasks(pending=True) == tuple(tasks)
        assert await names(store, "") == [("b", "batch.added")]

    async def test_a_task_belongs_to_one_batch(self, store: Store, clock: FakeClock) -> None:
        """A batch that brings a known or foreign task is refused whole."""
        batch, tasks = batch_of(clock, "b", "one")
        await store.add_batch(batch, tasks)
        other, fresh = batch_of(clock, "o", "new")
        for wrong in (
            [*fresh, tasks[0].model_copy(update={"batch": "o"})],
            [*fresh, *fresh],
            [tasks[0]],
            [fresh[0].model_copy(update={"night": NIGHT})],
        ):
            with pytest.raises(TransitionError):
                await store.add_batch(other, wrong)
        assert await store.batches() == (batch,)
        assert await store.tasks() == tuple(tasks)

    async def test_a_night_takes_only_tasks_that_no_night_has(self, store: Store, clock: FakeClock) -> None:
        """Two nights never share a task; opening again takes up what came since."""
        batch, tasks = batch_of(clock, "b", "one", "two")
        await store.add_batch(batch, tasks)
        assert await store.open_night(night_of(clock), ["b/one"]) == 1
        assert await store.open_night(night_of(clock, "other"), ["b/one", "b/two"]) == 1
        assert await store.open_night(night_of(clock), ["b/one", "b/two"]) == 0
        assert [task.night for task in await store.tasks()] == [NIGHT, "other"]
        assert [task.key for task in await store.tasks(night="other")] == ["b/two"]
        assert await store.tasks(pending=True) == ()
        assert [night.id for night in await store.nights()] == [NIGHT, "other"]
        assert await names(store) == [(NIGHT, "night.opened")]

    async def test_a_night_of_unknown_tasks_is_not_opened(self, store: Store, clock: FakeClock) -> None:
        """A task that the store does not have refuses the whole call."""
        batch, tasks = batch_of(clock, "b", "one")
        await store.add_batch(batch, tasks)
        with pytest.raises(TransitionError):
            await store.open_night(night_of(clock), ["b/one", "b/none"])
        assert await store.nights() == ()
        assert len(await store.tasks(pending=True)) == 1

    async def test_a_closed_night_stays_closed(self, store: Store, clock: FakeClock) -> None:
        """The first summary stays, and nothing starts in it any more."""
        await begin(store, clock, node_of("n", NodeState.READY), node_of("w"))
        clock.advance(60)
        await store.close_night(NIGHT, {"accepted": 1})
        closed = (await store.nights())[0]
        await store.close_night(NIGHT, {"accepted": 2})
        assert (await store.nights())[0] == closed
        assert (closed.state, closed.closed_at) == (NightState.CLOSED, clock.now())
        assert closed.summary == {"accepted": 1}
        for refused in (
            store.claim(NIGHT, "n", owner="me", lease_s=60),
            store.add_nodes([node_of("late")]),
            store.make_ready(NIGHT, ["w"]),
            store.open_night(night_of(clock), []),
            store.close_night("unknown", {}),
        ):
            with pytest.raises(TransitionError):
                await refused
        assert (await names(store))[-1] == (NIGHT, "night.closed")

    async def test_nodes_are_added_once_and_only_fresh(self, store: Store, clock: FakeClock) -> None:
        """A known key stays as it is; a node of an unknown task or in a later state is refused."""
        first = node_of("n", NodeState.READY, needs=("m", "k"))
        await begin(store, clock, first, node_of("m"))
        await store.add_nodes([node_of("n"), node_of("new")])
        assert (await store.nodes(NIGHT)) == (first, node_of("m"), node_of("new"))
        for wrong in (
            node_of("x", NodeState.RUNNING),
            node_of("x").model_copy(update={"task": "b/none"}),
            node_of("x").model_copy(update={"night": "none"}),
        ):
            with pytest.raises(TransitionError):
                await store.add_nodes([node_of("fine"), wrong])
        assert len(await store.nodes(NIGHT)) == 3

    async def test_ready_is_reached_once_and_never_from_an_end(self, store: Store, clock: FakeClock) -> None:
        """Waiting moves, ready stays, anything else refuses the whole call."""
        await begin(store, clock, node_of("a"), node_of("b"), node_of("gone"))
        await store.end_nodes(NIGHT, ["gone"], NodeState.SKIPPED, "not needed")
        await store.make_ready(NIGHT, ["a"])
        await store.make_ready(NIGHT, ["a"])
        for wrong in ("gone", "unknown"):
            with pytest.raises(TransitionError):
                await store.make_ready(NIGHT, ["b", wrong])
        assert await state_of(store, "b") is NodeState.WAITING
        assert (await names(store)).count(("a", "node.ready")) == 1

    async def test_a_task_keeps_its_first_outcome(self, store: Store, clock: FakeClock) -> None:
        """A second outcome changes nothing; a task of another night is refused."""
        await begin(store, clock)
        await store.finish_task(NIGHT, "b/one", TaskOutcome.DENIED, "tests fail")
        await store.finish_task(NIGHT, "b/one", TaskOutcome.ACCEPTED, "")
        task = (await store.tasks(night=NIGHT))[0]
        assert (task.outcome, task.cause) == (TaskOutcome.DENIED, "tests fail")
        for night, key in (("another", "b/one"), (NIGHT, "b/none")):
            with pytest.raises(TransitionError):
                await store.finish_task(night, key, TaskOutcome.FAILED, "")
        assert (await names(store))[1:] == [("b/one", "task.denied")]

    async def test_a_task_is_concluded_with_its_last_node(self, store: Store, clock: FakeClock) -> None:
        """The end of the node and the task's outcome are one step: both there, or for a strange task neither."""
        await begin(store, clock, node_of("n1"))
        lease = await store.claim(NIGHT, "n1", owner="me", lease_s=10)
        strange = Conclusion(task="b/none", outcome=TaskOutcome.ACCEPTED)
        with pytest.raises(TransitionError):
            await store.settle(lease, DONE, conclusion=strange)
        assert (await store.nodes(NIGHT))[0].state is NodeState.RUNNING
        own = Conclusion(task="b/one", outcome=TaskOutcome.DENIED, cause="no")
        await store.settle(lease, DONE, conclusion=own)
        await store.settle(lease, DONE, conclusion=own)
        assert (await store.nodes(NIGHT))[0].state is NodeState.SUCCEEDED
        [found] = [task for task in await store.tasks(night=NIGHT) if task.key == "b/one"]
        assert (found.outcome, found.cause) == (TaskOutcome.DENIED, "no")
        names = [event.name for event in await store.events(NIGHT)]
        assert names.count("task.denied") == 1

    async def test_events_are_numbered_without_gaps(self, store: Store, clock: FakeClock) -> None:
        """Numbers rise by one over the whole store, refused calls included; pages join up."""
        await begin(store, clock, node_of("n"))
        with pytest.raises(TransitionError):
            await store.make_ready(NIGHT, ["n", "unknown"])
        for place in range(5):
            await store.add_event(NIGHT, "n", "note", {"place": place})
        await store.add_event("", "store", "note")
        everything = (*await store.events(NIGHT), *await store.events(""))
        assert sorted(event.seq for event in everything) == list(range(1, len(everything) + 1))
        pages: list[EventRecord] = []
        after = 0
        while page := await store.events(NIGHT, after=after, limit=2):
            pages += page
            after = page[-1].seq
        assert tuple(pages) == await store.events(NIGHT)
        assert pages[-1].details == {"place": 4}
        assert await store.events(NIGHT, limit=0) == ()
        assert [event.details["place"] for event in await store.events(NIGHT, name="note")] == list(range(5))
        assert [event.details["place"] for event in await store.events(NIGHT, name="note", limit=2)] == [0, 1]
        assert await store.events(NIGHT, name="other") == ()

    async def test_hostile_text_is_kept_or_refused(self, store: Store, clock: FakeClock) -> None:
        """A cause that UTF-8 cannot hold is made storable; what is not JSON is refused with nothing changed."""
        await begin(store, clock, node_of("n", NodeState.READY))
        lease = await store.claim(NIGHT, "n", owner="me", lease_s=60)
        for wrong in ({"x": float("nan")}, {"x": object()}):
            with pytest.raises(StoreError):
                await store.settle(lease, DONE.model_copy(update={"metrics": wrong}))
            with pytest.raises(StoreError):
                await store.add_event(NIGHT, "n", "note", wrong)
            with pytest.raises(StoreError):
                await store.close_night(NIGHT, wrong)
        hostile = "'; DROP TABLE nodes; --\x00\x1b[2J\ud800"
        await store.settle(lease, FAILED.model_copy(update={"cause": hostile}))
        (node,) = await store.nodes(NIGHT)
        assert node.cause == hostile.replace("\ud800", "?")

    async def test_a_closed_store_says_so(self, store: Store, clock: FakeClock) -> None:
        """After closing, and closing again, every call is refused."""
        await begin(store, clock)
        await store.aclose()
        await store.aclose()
        with pytest.raises(StoreError):
            await store.nodes(NIGHT)
        with pytest.raises(StoreError):
            await store.add_event(NIGHT, "n", "note")
