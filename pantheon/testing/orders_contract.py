"""What every store must do for an operator: orders, holds, requeues, counts. See ``store_contract``."""

import pytest

from pantheon.core.errors import TransitionError
from pantheon.core.orders import Verb
from pantheon.core.records import AttemptOutcome, AttemptResult, NodeState, TaskOutcome, TaskRecord
from pantheon.ports.store import Store
from pantheon.testing.clock import FakeClock
from pantheon.testing.store_contract import (
    DONE,
    FAILED,
    NIGHT,
    batch_of,
    begin,
    names,
    night_of,
    node_of,
    state_of,
)

WHY = {"reason": "look", "by": "ann"}


async def failed_night(store: Store, clock: FakeClock) -> None:
    """Leave ``b/one`` failed at node ``n``, ``m`` skipped after it, and ``b/two`` blocked by it at ``t``."""
    two = node_of("t", needs=("m",)).model_copy(update={"task": "b/two"})
    await begin(store, clock, node_of("a"), node_of("n", needs=("a",)), node_of("m", needs=("n",)), two)
    await store.settle(await store.claim(NIGHT, "a", owner="me", lease_s=60), DONE)
    await store.settle(await store.claim(NIGHT, "n", owner="me", lease_s=60), FAILED)
    await store.end_nodes(NIGHT, ["m", "t"], NodeState.SKIPPED, "n failed")
    await store.finish_task(NIGHT, "b/one", TaskOutcome.FAILED, "no title")
    await store.finish_task(NIGHT, "b/two", TaskOutcome.BLOCKED, "b/one failed")


class OrdersContract:
    """The port's promises to an operator."""

    async def test_orders_are_kept_once(self, store: Store, clock: FakeClock) -> None:
        """An order that changes nothing is not recorded; a hold is every night's; each is an event."""
        await begin(store, clock)
        first = await store.add_order(Verb.PAUSE, night=NIGHT, **WHY)
        assert first is not None
        assert await store.add_order(Verb.PAUSE, night=NIGHT, reason="again", by="bob") is None
        held = await store.add_order(Verb.HOLD, task="b/one", **WHY)
        assert held is not None
        again = await store.add_order(Verb.RESUME, night=NIGHT, **WHY)
        assert again is not None
        assert await store.orders(NIGHT) == (first, held, again)
        assert await store.orders(NIGHT, after=held.seq) == (again,)
        assert await store.orders("another") == (held,)
        expected = [(NIGHT, "order.pause"), ("b/one", "order.hold"), (NIGHT, "order.resume")]
        assert (await names(store))[-3:] == expected

    async def test_an_order_must_be_about_something(self, store: Store, clock: FakeClock) -> None:
        """No subject, two subjects, an unknown one, a night that does not run: refused, nothing recorded."""
        await begin(store, clock)
        for verb, subject in (
            (Verb.PAUSE, {}),
            (Verb.PAUSE, {"night": NIGHT, "task": "b/one"}),
            (Verb.PAUSE, {"night": "unknown"}),
            (Verb.HOLD, {"night": NIGHT}),
            (Verb.CANCEL, {"task": "b/none"}),
            (Verb.CANCEL, {"batch": "none"}),
            (Verb.HOLD, {"batch": "b", "task": "b/one"}),
            (Verb.REQUEUE, {"task": "b/one"}),
        ):
            with pytest.raises(TransitionError):
                await store.add_order(verb, **subject, **WHY)
        await store.close_night(NIGHT, {})
        with pytest.raises(TransitionError):
            await store.add_order(Verb.PAUSE, night=NIGHT, **WHY)
        assert await store.orders(NIGHT) == ()

    async def test_what_is_held_waits_for_its_release(self, store: Store, clock: FakeClock) -> None:
        """No night takes a held task, nor one of a held batch, until it is released."""
        batch, tasks = batch_of(clock, "b", "one", "two")
        other, more = batch_of(clock, "o", "new")
        await store.add_batch(batch, tasks)
        await store.add_batch(other, more)
        held = await store.add_order(Verb.HOLD, task="b/one", **WHY)
        assert held is not None
        assert held.night == ""
        assert await store.add_order(Verb.HOLD, task="b/one", **WHY) is None
        assert await store.add_order(Verb.RELEASE, batch="b", **WHY) is None
        assert await store.add_order(Verb.HOLD, batch="o", **WHY) is not None
        assert [task.key for task in await store.tasks(pending=True)] == ["b/two"]
        counts = await store.counts()
        assert (counts.pending, counts.held, counts.open) == (1, 2, 0)
        await store.open_night(night_of(clock), ["b/one", "b/two", "o/new"])
        assert [task.key for task in await store.tasks(night=NIGHT)] == ["b/two"]
        assert await store.add_order(Verb.RELEASE, task="b/one", **WHY) is not None
        assert await store.add_order(Verb.RELEASE, batch="o", **WHY) is not None
        assert [task.key for task in await store.tasks(pending=True)] == ["b/one", "o/new"]

    async def test_cancelling_what_no_night_has_ends_it(self, store: Store, clock: FakeClock) -> None:
        """It is cancelled at once, no night takes it, and a requeue brings it back."""
        batch, tasks = batch_of(clock, "b", "one", "two")
        await store.add_batch(batch, tasks)
        assert await store.add_order(Verb.CANCEL, task="b/one", **WHY) is not None
        assert await store.add_order(Verb.CANCEL, task="b/one", **WHY) is None
        (one, two) = await store.tasks()
        assert (one.outcome, one.cause) == (TaskOutcome.CANCELLED, "cancelled by the operator: look")
        assert await store.tasks(pending=True) == (two,)
        assert (await store.counts()).outcomes == {TaskOutcome.CANCELLED: 1}
        assert await store.requeue("b/one", **WHY) == ("b/one",)
        with pytest.raises(TransitionError):
            await store.requeue("b/one", **WHY)
        assert await store.add_order(Verb.CANCEL, batch="b", **WHY) is not None
        await store.open_night(night_of(clock), ["b/one", "b/two"])
        assert await store.tasks(night=NIGHT) == ()

    async def test_a_cancel_finds_the_running_night(self, store: Store, clock: FakeClock) -> None:
        """What a night has is that night's to end; what has ended cannot be cancelled any more."""
        await begin(store, clock, node_of("n"))
        await store.finish_task(NIGHT, "b/two", TaskOutcome.ACCEPTED, "")
        assert await store.add_order(Verb.CANCEL, task="b/two", **WHY) is None
        order = await store.add_order(Verb.CANCEL, batch="b", **WHY)
        assert order is not None
        assert order.night == NIGHT
        assert await store.orders(NIGHT) == (order,)
        assert (await store.tasks(night=NIGHT))[0].outcome is None

    async def test_a_running_night_takes_up_again_what_failed(self, store: Store, clock: FakeClock) -> None:
        """Failed and skipped nodes go back, in tasks that were blocked too; what succeeded stays."""
        await failed_night(store, clock)
        assert await store.requeue("b/one", **WHY) == ("n", "m", "t")
        states = {node.key: node.state.value for node in await store.nodes(NIGHT)}
        assert states == {"a": "succeeded", "n": "ready", "m": "waiting", "t": "waiting"}
        assert [task.outcome for task in await store.tasks(night=NIGHT)] == [None, None]
        orders = await store.orders(NIGHT)
        assert [(one.verb, one.task) for one in orders] == [(Verb.REQUEUE, "b/one"), (Verb.REQUEUE, "b/two")]
        assert ("n", "node.requeued") in await names(store)
        assert (await store.claim(NIGHT, "n", owner="me", lease_s=60)).attempt == 2
        with pytest.raises(TransitionError):
            await store.requeue("b/one", **WHY)

    async def test_a_requeue_begins_at_a_node(self, store: Store, clock: FakeClock) -> None:
        """Only the named node and what is after it go back; one that could not start is refused."""
        await failed_night(store, clock)
        for wrong in ("a", "m", "unknown"):
            with pytest.raises(TransitionError):
                await store.requeue("b/one", from_node=wrong, **WHY)
        with pytest.raises(TransitionError):
            await store.requeue("b/two", **WHY)
        assert await state_of(store, "n") is NodeState.FAILED
        assert await store.requeue("b/one", from_node="n", **WHY) == ("n", "m", "t")

    async def test_a_closed_night_keeps_what_it_made_of_a_task(self, store: Store, clock: FakeClock) -> None:
        """A requeued task waits for the next night, and the closed night's outcome stays its own."""
        await failed_night(store, clock)
        await store.close_night(NIGHT, {})
        before = await store.tasks(night=NIGHT)
        with pytest.raises(TransitionError):
            await store.requeue("b/one", from_node="n", **WHY)
        with pytest.raises(TransitionError):
            await store.requeue("b/one", night="another", **WHY)
        assert await store.requeue("b/one", night=NIGHT, **WHY) == ("b/one", "b/two")
        assert await store.tasks(night=NIGHT) == before
        assert [task.key for task in await store.tasks(pending=True)] == ["b/one", "b/two"]
        await store.open_night(night_of(clock, "next"), ["b/one", "b/two"])
        await store.finish_task("next", "b/one", TaskOutcome.ACCEPTED, "")
        assert await store.tasks(night=NIGHT) == before
        assert [task.outcome for task in await store.tasks()] == [TaskOutcome.ACCEPTED, None]
        with pytest.raises(TransitionError, match="accepted"):
            await store.requeue("b/one", **WHY)

    async def test_counts_agree_with_what_is_there(self, store: Store, clock: FakeClock) -> None:
        """Tasks by outcome, nodes by state, running attempts with their leases."""
        await failed_night(store, clock)
        await store.add_nodes([node_of("x"), node_of("y")])
        lease = await store.claim(NIGHT, "x", owner="me", lease_s=60)
        for night in (NIGHT, None):
            counts = await store.counts(night)
            assert (counts.pending, counts.held, counts.open) == (0, 0, 0)
            assert counts.outcomes == {TaskOutcome.FAILED: 1, TaskOutcome.BLOCKED: 1}
            assert {state.value: count for state, count in counts.nodes.items()} == {
                "succeeded": 1,
                "failed": 1,
                "skipped": 2,
                "running": 1,
                "waiting": 1,
            }
            assert counts.running == (lease,)
        assert (await store.counts("another")).nodes == {}

    async def test_attempts_are_measured(self, store: Store, clock: FakeClock) -> None:
        """Ended attempts, those that the machine broke off, and how long 95 of 100 took; running ones wait."""
        empty = await store.measure_attempts(NIGHT)
        assert (empty.ended, empty.broken, empty.p95_s) == (0, 0, None)
        await begin(store, clock, *(node_of(f"m{number}") for number in range(1, 22)))
        for number in range(1, 21):
            lease = await store.claim(NIGHT, f"m{number}", owner="me", lease_s=600)
            clock.advance(float(number))
            outcome = AttemptOutcome.CRASHED if number == 20 else AttemptOutcome.FAILED
            await store.settle(lease, AttemptResult(outcome=outcome, node_state=NodeState.FAILED))
        await store.claim(NIGHT, "m21", owner="me", lease_s=600)
        found = await store.measure_attempts(NIGHT)
        assert (found.ended, found.broken, found.p95_s) == (20, 1, 19.0)

    async def test_pending_tasks_are_counted_by_batch(self, store: Store, clock: FakeClock) -> None:
        """In queue order, without what is held, taken or cancelled, and without batches that wait for nothing."""
        for name in ("zz", "aa", "mm"):
            await store.add_batch(*batch_of(clock, name, "1", "2"))
        await store.add_order(Verb.HOLD, task="aa/1", **WHY)
        await store.add_order(Verb.HOLD, batch="mm", **WHY)
        counts = await store.counts()
        assert list(counts.batches.items()) == [("zz", 2), ("aa", 1)]
        assert (counts.pending, counts.held) == (3, 3)

    async def test_pages_of_tasks_join_up(self, store: Store, clock: FakeClock) -> None:
        """Whatever the page's size, every task comes once and in order."""
        batch, tasks = batch_of(clock, "b", *(str(place) for place in range(7)))
        await store.add_batch(batch, tasks)
        await store.open_night(night_of(clock), [task.key for task in tasks[1:]])
        for night in (None, NIGHT):
            whole = await store.tasks(night=night)
            for limit in (1, 3, 50):
                found: list[TaskRecord] = []
                after = None
                while page := await store.tasks(night=night, after=after, limit=limit):
                    found += page
                    after = page[-1].key
                assert tuple(found) == whole
        assert await store.tasks(after="unknown") == ()
