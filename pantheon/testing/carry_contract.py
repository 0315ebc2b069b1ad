"""What every store must do with tasks that a closed night has not reached. See ``store_contract``."""

import pytest

from pantheon.core.errors import TransitionError
from pantheon.core.orders import Verb
from pantheon.core.records import TaskOutcome
from pantheon.ports.store import Store
from pantheon.testing.clock import FakeClock
from pantheon.testing.store_contract import NIGHT, batch_of, begin, night_of

BOTH = ["b/one", "b/two"]
WHY = {"reason": "look", "by": "ann"}


async def left_night(store: Store, clock: FakeClock) -> None:
    """Close a night that has reached neither of its tasks."""
    await begin(store, clock)
    await store.finish_task(NIGHT, "b/one", TaskOutcome.NOT_REACHED, "the window ended")
    await store.finish_task(NIGHT, "b/two", TaskOutcome.BLOCKED, "b/one was not reached")
    await store.close_night(NIGHT, {}, carry=BOTH)


async def pending(store: Store) -> list[str]:
    """Return the keys of what the next night may take."""
    return [task.key for task in await store.tasks(pending=True)]


class CarryContract:
    """The port's promises about work that goes on to the next night."""

    async def test_what_is_handed_on_waits_and_says_of_whom(self, store: Store, clock: FakeClock) -> None:
        """It is pending and counted so; the closed night keeps what it made of it."""
        await left_night(store, clock)
        assert await pending(store) == BOTH
        assert [(task.night, task.outcome, task.left_by) for task in await store.tasks()] == [
            (None, None, NIGHT)
        ] * 2
        counts = await store.counts()
        assert (counts.pending, counts.batches, counts.left, counts.outcomes) == (2, {"b": 2}, {NIGHT: 2}, {})
        ends = [(task.outcome, task.cause) for task in await store.tasks(night=NIGHT)]
        assert ends[0] == (TaskOutcome.NOT_REACHED, "the window ended")
        assert (await store.events(NIGHT))[-1].details == {"left": 2}

    async def test_the_next_night_takes_it_once_and_names_the_first(
        self, store: Store, clock: FakeClock
    ) -> None:
        """Closing the first again frees nothing that a later night has."""
        await left_night(store, clock)
        assert await store.open_night(night_of(clock, "next"), BOTH) == 2
        assert (await store.events("next"))[0].details == {"tasks": 2, "left": {NIGHT: 2}}
        await store.close_night(NIGHT, {}, carry=BOTH)
        assert await pending(store) == []
        assert (await store.counts()).left == {}
        assert [task.left_by for task in await store.tasks()] == [None, None]
        assert await store.open_night(night_of(clock, "third"), BOTH) == 0

    @pytest.mark.parametrize(
        "outcome", sorted(set(TaskOutcome) - {TaskOutcome.NOT_REACHED, TaskOutcome.BLOCKED})
    )
    async def test_what_was_decided_stays(self, store: Store, clock: FakeClock, outcome: TaskOutcome) -> None:
        """Whatever a night asks for, a task with such an outcome, or of another night, is not freed."""
        await begin(store, clock)
        await store.add_batch(*batch_of(clock, "o", "new"))
        await store.open_night(night_of(clock, "other"), ["o/new"])
        await store.finish_task("other", "o/new", TaskOutcome.NOT_REACHED, "")
        await store.finish_task(NIGHT, "b/one", outcome, "")
        await store.close_night(NIGHT, {}, carry=["b/one", "b/two", "o/new", "b/none"])
        assert await pending(store) == []

    async def test_held_ones_wait_for_their_release(self, store: Store, clock: FakeClock) -> None:
        """They are not counted as left over before; cancelled ones stay out."""
        await left_night(store, clock)
        await store.add_order(Verb.HOLD, task="b/one", **WHY)
        await store.add_order(Verb.CANCEL, task="b/two", **WHY)
        counts = await store.counts()
        assert (counts.pending, counts.held, counts.left) == (0, 1, {})
        await store.open_night(night_of(clock, "next"), BOTH)
        assert await store.tasks(night="next") == ()
        await store.add_order(Verb.RELEASE, task="b/one", **WHY)
        assert (await pending(store), (await store.counts()).left) == (["b/one"], {NIGHT: 1})

    async def test_a_requeue_makes_it_somebodys_wish(self, store: Store, clock: FakeClock) -> None:
        """Said once it counts as left over no more; said again it is refused, for it waits already."""
        await left_night(store, clock)
        assert await store.requeue("b/one", **WHY) == ("b/one",)
        assert (await store.counts()).left == {NIGHT: 1}
        assert await pending(store) == BOTH
        with pytest.raises(TransitionError):
            await store.requeue("b/one", **WHY)
        await store.open_night(night_of(clock, "next"), BOTH)
        assert (await store.events("next"))[0].details == {"tasks": 2, "left": {NIGHT: 1}}
