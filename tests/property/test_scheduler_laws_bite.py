"""The laws of the scheduler catch planted bugs: each bug breaks a law in some night that the strategies make."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, settings

from pantheon.core import dispatch
from pantheon.core.dag import PlannedNode
from pantheon.core.dispatch import Candidate, ReadyQueue
from pantheon.core.orders import Standing
from pantheon.core.records import NodeState
from pantheon.engine.frontier import Frontier
from pantheon.engine.node_end import Again, NodeEnded
from pantheon.engine.scheduler import Scheduler
from pantheon.testing import scheduling_laws as laws
from pantheon.testing.night_cases import crowds, nights, rivals
from pantheon.testing.simulated_night import Case, Trace, simulate
from pantheon.testing.virtual_time import StuckError

Patch = pytest.MonkeyPatch
Law = Callable[[Trace], None]
SEARCH = settings(
    max_examples=3_000,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


def breaks(law: Law) -> Callable[[Case], bool]:
    """Return whether a night breaks a law, or gets stuck where that is the law."""

    def broken(case: Case) -> bool:
        try:
            trace = simulate(case)
        except StuckError:
            return law is stuck
        except ExceptionGroup:
            return False
        try:
            law(trace)
        except AssertionError:
            return True
        return False

    return broken


def stuck(_: Trace) -> None:
    """Stand for the law that nothing waits for what cannot come."""


def wrap(patch: Patch, owner: type, name: str, change: Callable[..., Any]) -> None:
    """Replace a method by one that is given the sound one first."""
    sound = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **more: change(sound, *args, **more))


def a_failure_lets_the_next_run(patch: Patch) -> None:
    wrap(patch, Frontier, "end", lambda sound, self, key, succeeded: sound(self, key, succeeded=True))
    wrap(patch, Frontier, "below", lambda sound, self, key: ())


def turns_are_not_waited_for(patch: Patch) -> None:
    def init(sound: Any, self: Frontier, nodes: Iterable[PlannedNode], **more: Any) -> None:
        free = [PlannedNode(n.key, n.task, n.node, n.needs, (), n.level, n.rank) for n in nodes]
        sound(self, free, **more)

    wrap(patch, Frontier, "__init__", init)


def slots_come_back_twice(patch: Patch) -> None:
    def give_back(sound: Any, self: ReadyQueue, resources: Any) -> None:
        sound(self, resources)
        sound(self, resources)

    wrap(patch, ReadyQueue, "give_back", give_back)


def slots_never_come_back(patch: Patch) -> None:
    patch.setattr(ReadyQueue, "give_back", lambda self, resources: None)


def one_attempt_too_few(patch: Patch) -> None:
    def init(sound: Any, self: Scheduler) -> None:
        sound(self)
        run = self.run

        async def once(node: PlannedNode, release: Any) -> Any:
            ended = await run(node, release)
            if isinstance(ended, Again):
                ended = NodeEnded(NodeState.FAILED, "as planned")
                await self.end(ended.state, ended.cause, (node.key,))
            return ended

        self.run = once

    wrap(patch, Scheduler, "__post_init__", init)


def another_attempt_without_waiting(patch: Patch) -> None:
    wrap(patch, Scheduler, "_ready_later", lambda sound, self, node, after_s: sound(self, node, 0.0))


def what_needs_a_failure_is_forgotten(patch: Patch) -> None:
    patch.setattr(Frontier, "below", lambda self, key: ())


def ends_are_told_twice(patch: Patch) -> None:
    async def end(sound: Any, self: Scheduler, keys: tuple[str, ...], ended: NodeEnded) -> None:
        await sound(self, keys, ended)
        await sound(self, keys, ended)

    wrap(patch, Scheduler, "_end", end)


def a_pause_is_not_heard(patch: Patch) -> None:
    async def apply(sound: Any, self: Scheduler, standing: Standing) -> None:
        await sound(self, standing.model_copy(update={"paused": False}))

    wrap(patch, Scheduler, "_apply", apply)


def a_hold_is_not_heard(patch: Patch) -> None:
    async def apply(sound: Any, self: Scheduler, standing: Standing) -> None:
        await sound(self, standing.model_copy(update={"held_tasks": {}}))

    wrap(patch, Scheduler, "_apply", apply)


def a_cancel_is_not_heard(patch: Patch) -> None:
    async def apply(sound: Any, self: Scheduler, standing: Standing) -> None:
        await sound(self, standing.model_copy(update={"cancelled_tasks": {}, "cancelled": None}))

    wrap(patch, Scheduler, "_apply", apply)


def going_on_is_not_heard(patch: Patch) -> None:
    async def apply(sound: Any, self: Scheduler, standing: Standing) -> None:
        paused = self.standing.paused or standing.paused
        await sound(self, standing.model_copy(update={"paused": paused}))

    wrap(patch, Scheduler, "_apply", apply)


def there_is_no_barrier(patch: Patch) -> None:
    wrap(patch, Frontier, "__init__", lambda sound, self, nodes, by_level: sound(self, nodes, by_level=False))


def only_one_starts_at_a_time(patch: Patch) -> None:
    def take(sound: Any, self: ReadyQueue) -> Candidate | None:
        idle = all(self._free[name] == most for name, most in self.most.items())
        return sound(self) if idle else None

    def init(sound: Any, self: ReadyQueue, slots: Any) -> None:
        sound(self, slots)
        self.most = dict(slots)

    wrap(patch, ReadyQueue, "__init__", init)
    wrap(patch, ReadyQueue, "take", take)


def priority_counts_the_wrong_way(patch: Patch) -> None:
    def add(sound: Any, self: ReadyQueue, one: Candidate) -> None:
        sound(self, Candidate(one.key, one.task, one.package, -one.priority, one.rank, one.order, one.work_s,
                              one.resources, one.warms))  # fmt: skip

    wrap(patch, ReadyQueue, "add", add)


def overtaking_has_no_end(patch: Patch) -> None:
    patch.setattr(dispatch, "MAX_OVERTAKES", 10**9)


def only_slots_that_are_taken_already_are_kept(patch: Patch) -> None:
    def takes(self: ReadyQueue, resources: Any, wanted: Any) -> bool:
        lacking = {name for name, cost in wanted if self._free.get(name, cost) < cost}
        return any(name in lacking for name, _ in resources)

    patch.setattr(ReadyQueue, "_takes", takes)


def shares_are_not_counted(patch: Patch) -> None:
    def add(sound: Any, self: ReadyQueue, one: Candidate) -> None:
        sound(self, Candidate(one.key, one.task, one.package, one.priority, one.rank, one.order, 0.0,
                              one.resources, one.warms))  # fmt: skip

    wrap(patch, ReadyQueue, "add", add)


@pytest.mark.parametrize(
    ("plant", "law", "cases"),
    [
        (a_failure_lets_the_next_run, laws.dependencies, nights),
        (turns_are_not_waited_for, laws.dependencies, nights),
        (slots_come_back_twice, laws.slots, nights),
        (slots_never_come_back, laws.ends, nights),
        (one_attempt_too_few, laws.attempts, nights),
        (another_attempt_without_waiting, laws.attempts, nights),
        (what_needs_a_failure_is_forgotten, laws.ends, nights),
        (ends_are_told_twice, laws.ends, nights),
        (a_pause_is_not_heard, laws.operator, nights),
        (a_hold_is_not_heard, laws.operator, nights),
        (a_cancel_is_not_heard, laws.operator, nights),
        (going_on_is_not_heard, stuck, nights),
        (there_is_no_barrier, laws.barrier, nights),
        (only_one_starts_at_a_time, laws.no_idling, nights),
        (priority_counts_the_wrong_way, laws.priority, nights),
        (overtaking_has_no_end, laws.overtaking, crowds),
        (only_slots_that_are_taken_already_are_kept, laws.overtaking, crowds),
        (shares_are_not_counted, laws.fairness, rivals),
    ],
)
def test_a_planted_bug_is_caught(
    monkeypatch: Patch, plant: Callable[[Patch], None], law: Law, cases: Callable[[], Any]
) -> None:
    """With the bug some night breaks the law; ``find`` raises when none does."""
    plant(monkeypatch)
    find(cases(), breaks(law), settings=SEARCH)
