"""The scheduler's single promises: order, slots given back, stopping in the middle, what it does with our own bugs."""

import asyncio
import contextlib
import dataclasses

import pytest

from pantheon.core.dag import Plan, PlannedNode, PlannedTask
from pantheon.core.flow import Flow, FlowNode
from pantheon.core.orders import Standing
from pantheon.core.records import NodeState
from pantheon.engine.node_end import Again, NodeEnded, Release
from pantheon.engine.scheduler import Scheduler
from pantheon.engine.to_end import take_back_cancellation

DONE = NodeEnded(NodeState.SUCCEEDED)


def planned(key: str, *needs: str, rank: float = 1.0, agent: bool = False, **resources: int) -> PlannedNode:
    """A node ``task#id``."""
    task, _, name = key.partition("#")
    node = FlowNode(id=name, agent="a" if agent else None, tool=None if agent else "t", resources=resources)
    return PlannedNode(key=key, task=task, node=node, needs=needs, level=0, rank=rank)


FLOW = Flow(name="f", accepts=("k",), node=(FlowNode(id="n1", tool="t"),))


class Recorder:
    """Runs every node in no time and writes down what it was told."""

    def __init__(self, *nodes: PlannedNode, **outcomes: NodeEnded) -> None:
        self.plan = Plan(nodes=nodes)
        self.outcomes = {key.replace("_", "#"): ended for key, ended in outcomes.items()}
        self.started: list[str] = []
        self.ends: list[tuple[NodeState, tuple[str, ...]]] = []
        self.slept: list[float] = []

    async def run(self, node: PlannedNode, release: Release) -> NodeEnded | Again:
        self.started.append(node.key)
        await asyncio.sleep(0)
        return self.outcomes.get(node.key, DONE)

    async def end(self, state: NodeState, cause: str, keys: tuple[str, ...]) -> None:
        self.ends.append((state, keys))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def scheduler(
        self,
        slots: dict[str, int] | None = None,
        priority: dict[str, int] | None = None,
        ended: dict[str, NodeEnded] | None = None,
        **more: object,
    ) -> Scheduler:
        tasks = {
            node.task: PlannedTask(flow=FLOW, priority=(priority or {}).get(node.task, 0))
            for node in self.plan.nodes
        }
        return Scheduler(self.plan, tasks, slots or {}, self.run, self.end, self.sleep, ended or {}, **more)


async def test_priority_then_begun_tasks_then_the_longest_path() -> None:
    """With one slot the order of starts is the order of urgency."""
    recorder = Recorder(
        planned("a#n1", rank=5, agent=True, model=1),
        planned("a#n2", "a#n1", rank=1, agent=True, model=1),
        planned("b#n1", rank=9, agent=True, model=1),
        planned("b#n2", "b#n1", rank=8, agent=True, model=1),
        planned("c#n1", rank=1, agent=True, model=1),
    )
    await recorder.scheduler({"model": 1}, {"c": 1}).run_all()
    assert recorder.started == ["c#n1", "b#n1", "b#n2", "a#n1", "a#n2"]


async def test_slots_come_back_after_a_failure() -> None:
    """A node that failed gives its slots back, and what does not follow from it runs."""
    lost = NodeEnded(NodeState.FAILED, "no")
    recorder = Recorder(
        planned("a#n1", rank=9, cpu=2), planned("a#n2", "a#n1", cpu=1), planned("b#n1", cpu=2), a_n1=lost
    )
    await recorder.scheduler({"cpu": 2}).run_all()
    assert recorder.started == ["a#n1", "b#n1"]
    assert recorder.ends == [(NodeState.SKIPPED, ("a#n2",))]


@pytest.mark.parametrize("state", [NodeState.FAILED, NodeState.CANCELLED, NodeState.SKIPPED])
async def test_only_success_lets_the_next_node_run(state: NodeState) -> None:
    """Failed, cancelled and passed-over nodes all end what follows them, told once."""
    recorder = Recorder(
        planned("a#n1"), planned("a#n2", "a#n1"), planned("a#n3", "a#n2"), a_n1=NodeEnded(state, "why")
    )
    scheduler = recorder.scheduler()
    await scheduler.run_all()
    assert recorder.ends == [(NodeState.SKIPPED, ("a#n2", "a#n3"))]
    assert scheduler.ended["a#n3"].state is NodeState.SKIPPED
    assert scheduler.ended["a#n3"].cause == f"n1 of task a {state}: why"


async def test_two_failures_skip_a_common_descendant_once() -> None:
    """A node below two failures is skipped once, for the first of them."""
    failed = NodeEnded(NodeState.FAILED, "no")
    recorder = Recorder(
        planned("a#n1"), planned("a#n2"), planned("a#n3", "a#n1", "a#n2"), a_n1=failed, a_n2=failed
    )
    await recorder.scheduler().run_all()
    assert recorder.ends == [(NodeState.SKIPPED, ("a#n3",))]


async def test_stopping_in_the_middle_finishes_what_runs() -> None:
    """After the stop the running node ends as it ends and nothing new is begun."""
    recorder = Recorder(planned("a#n1"), planned("a#n2", "a#n1"), planned("b#n1", rank=0, agent=True))
    scheduler = recorder.scheduler()
    inner = recorder.run

    async def run(node: PlannedNode, release: Release) -> NodeEnded | Again:
        scheduler.stop()
        return await inner(node, release)

    scheduler.run = run
    await scheduler.run_all()
    assert sorted(recorder.started) == ["a#n1", "b#n1"]
    assert set(scheduler.ended) == {"a#n1", "b#n1"}
    assert recorder.ends == []


async def test_a_resumed_failure_skips_what_was_still_open() -> None:
    """Descendants that had not been told before the process died are skipped when the night goes on."""
    recorder = Recorder(planned("a#n1"), planned("a#n2", "a#n1"), planned("a#n3", "a#n2"), planned("b#n1"))
    ended = {"a#n1": NodeEnded(NodeState.FAILED, "no"), "a#n2": NodeEnded(NodeState.SKIPPED, "a#n1 failed")}
    await recorder.scheduler(ended=ended).run_all()
    assert recorder.started == ["b#n1"]
    assert recorder.ends == [(NodeState.SKIPPED, ("a#n3",))]


async def test_a_resumed_end_is_not_told_again() -> None:
    """A failure all of whose descendants are settled costs the store nothing."""
    recorder = Recorder(planned("a#n1"), planned("a#n2", "a#n1"))
    ended = {"a#n1": NodeEnded(NodeState.FAILED, "no"), "a#n2": NodeEnded(NodeState.SKIPPED, "a#n1 failed")}
    await recorder.scheduler(ended=ended).run_all()
    assert recorder.started == []
    assert recorder.ends == []


async def test_a_bug_in_a_node_ends_the_pass_and_cancels_the_rest() -> None:
    """An error that is nobody's expected end does not leave nodes running behind."""
    cancelled: list[str] = []
    recorder = Recorder(planned("a#n1"), planned("b#n1"))

    async def run(node: PlannedNode, release: Release) -> NodeEnded:
        if node.key == "a#n1":
            await asyncio.sleep(0)
            raise RuntimeError("a bug")
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(node.key)
            raise
        return DONE

    scheduler = recorder.scheduler()
    scheduler.run = run
    with pytest.raises(ExceptionGroup) as caught:
        await scheduler.run_all()
    assert [str(error) for error in caught.value.exceptions] == ["a bug"]
    assert cancelled == ["b#n1"]


async def test_an_empty_plan_ends_at_once() -> None:
    """No nodes, no waiting."""
    await Recorder().scheduler().run_all()


async def test_a_node_that_is_tried_again_gives_its_slots_back_meanwhile() -> None:
    """Between two attempts others use the slot; the second attempt comes after the wait that was asked for."""
    recorder = Recorder(planned("a#n1", rank=9, cpu=1), planned("b#n1", cpu=1))
    inner, tries = recorder.run, iter([Again(7.0), DONE])

    async def run(node: PlannedNode, release: Release) -> NodeEnded | Again:
        await inner(node, release)
        return next(tries) if node.key == "a#n1" else DONE

    scheduler = recorder.scheduler({"cpu": 1})
    scheduler.run = run
    await scheduler.run_all()
    assert recorder.started == ["a#n1", "b#n1", "a#n1"]
    assert recorder.slept == [7.0]
    assert set(scheduler.ended) == {"a#n1", "b#n1"}


async def test_a_stop_does_not_wait_for_another_attempt() -> None:
    """A night that drains leaves a node that would be tried again to the next process."""
    recorder = Recorder(planned("a#n1"))
    scheduler = recorder.scheduler()

    async def run(node: PlannedNode, release: Release) -> NodeEnded | Again:
        return Again(3600.0)

    async def sleep(seconds: float) -> None:
        scheduler.stop()
        await asyncio.sleep(seconds)

    scheduler.run, scheduler.sleep = run, sleep
    async with asyncio.timeout(5):
        await scheduler.run_all()
    assert scheduler.ended == {}


async def test_slots_are_free_once_the_work_is_done() -> None:
    """The next node starts while the record of the one before is still being written."""
    recorder = Recorder(planned("a#n1", rank=9, cpu=1), planned("b#n1", cpu=1))
    inner = recorder.run

    async def run(node: PlannedNode, release: Release) -> NodeEnded | Again:
        ended = await inner(node, release)
        if node.key == "a#n1":
            release()
            while "b#n1" not in recorder.started:  # noqa: ASYNC110 (the scheduler has no event for it)
                await asyncio.sleep(0)
        return ended

    scheduler = recorder.scheduler({"cpu": 1})
    scheduler.run = run
    async with asyncio.timeout(5):
        await scheduler.run_all()
    assert recorder.started == ["a#n1", "b#n1"]


@pytest.mark.parametrize("at_once", [1, 3])
async def test_no_more_nodes_are_open_than_allowed(at_once: int) -> None:
    """Nodes without resources are bounded all the same."""
    recorder = Recorder(*(planned(f"t{number}#n1") for number in range(9)))
    inner, open_now, most = recorder.run, 0, 0

    async def run(node: PlannedNode, release: Release) -> NodeEnded | Again:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        release()
        ended = await inner(node, release)
        open_now -= 1
        return ended

    scheduler = recorder.scheduler(at_once=at_once)
    scheduler.run = run
    await scheduler.run_all()
    assert most == at_once
    assert len(recorder.started) == 9


@pytest.mark.parametrize("state", [NodeState.SUCCEEDED, NodeState.FAILED])
async def test_what_comes_after_runs_however_the_first_ended(state: NodeState) -> None:
    """A writer that takes turns with another runs after it, also when that one failed."""
    after = dataclasses.replace(planned("b#n1", rank=9), after=("a#n2",))
    recorder = Recorder(planned("a#n1"), planned("a#n2", "a#n1"), after, a_n1=NodeEnded(state, "why"))
    await recorder.scheduler().run_all()
    assert recorder.started[-1] == "b#n1"


async def test_levels_wait_for_each_other() -> None:
    """By level nothing of the next level starts before the last node of this one has ended."""
    nodes = [
        planned("a#n1"),
        planned("b#n1", rank=0),
        planned("a#n2", "a#n1", rank=9),
        planned("b#n2", "b#n1"),
    ]
    nodes[2:] = [dataclasses.replace(node, level=1) for node in nodes[2:]]
    recorder = Recorder(*nodes, b_n1=NodeEnded(NodeState.FAILED, "no"))
    await recorder.scheduler({}, by_level=True, at_once=1).run_all()
    assert recorder.started == ["a#n1", "b#n1", "a#n2"]


async def test_a_paused_night_waits_and_goes_on() -> None:
    """Nothing starts while it is paused; the word to go on starts the rest."""
    recorder = Recorder(planned("a#n1"), planned("b#n1"))
    scheduler = recorder.scheduler()
    scheduler.obey(Standing(paused=True))
    scheduler.standing = Standing(paused=True)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(scheduler.run_all(), name="run")
        for _ in range(5):
            await asyncio.sleep(0)
        assert recorder.started == []
        scheduler.obey(Standing())
    assert sorted(recorder.started) == ["a#n1", "b#n1"]


async def test_held_tasks_do_not_keep_the_night() -> None:
    """What is held does not start; released in time it does; a night of which only held tasks are left ends."""
    recorder = Recorder(planned("a#n1"), planned("b#n1", rank=0), planned("c#n1", rank=0))
    inner = recorder.run
    scheduler = recorder.scheduler({})

    async def run(node: PlannedNode, release: Release) -> NodeEnded | Again:
        scheduler.obey(Standing(held_tasks={"c": "look first"}))
        return await inner(node, release)

    scheduler.run = run
    scheduler.standing = Standing(held_tasks={"b": "wait", "c": "look first"})
    async with asyncio.timeout(5):
        await scheduler.run_all()
    assert recorder.started == ["a#n1", "b#n1"]
    assert "c#n1" not in scheduler.ended


async def test_cancelled_tasks_end_and_the_others_go_on() -> None:
    """What runs is cancelled, what waits ends as cancelled, what needs it is skipped, a merge is finished."""
    merge = dataclasses.replace(planned("m#merge"), node=FlowNode(id="merge", gate="merge"))
    recorder = Recorder(
        planned("a#n1"), planned("a#n2", "a#n1"), planned("b#n1", "a#n2"), merge, planned("c#n1")
    )
    inner = recorder.run
    running = asyncio.Event()

    async def run(node: PlannedNode, release: Release) -> NodeEnded | Again:
        if node.key == "a#n1":
            running.set()
            await asyncio.sleep(3600)
        if node.key == "m#merge":
            await running.wait()
            scheduler.obey(Standing(cancelled_tasks={"a": "wrong", "m": "too late"}))
            await asyncio.sleep(0.01)
        return await inner(node, release)

    scheduler = recorder.scheduler()
    scheduler.run = run
    async with asyncio.timeout(5):
        await scheduler.run_all()
    cause = "cancelled by the operator: wrong"
    assert scheduler.ended == {
        "a#n1": NodeEnded(NodeState.CANCELLED, cause),
        "a#n2": NodeEnded(NodeState.CANCELLED, cause),
        "b#n1": NodeEnded(NodeState.SKIPPED, f"n2 of task a cancelled: {cause}"),
        "m#merge": DONE,
        "c#n1": DONE,
    }


async def test_a_whole_night_can_be_cancelled_while_it_is_paused() -> None:
    """A paused night that is cancelled ends."""
    recorder = Recorder(planned("a#n1"), planned("b#n1", "a#n1"))
    scheduler = recorder.scheduler()
    scheduler.standing = Standing(paused=True)
    scheduler.obey(Standing(paused=True, cancelled="enough"))
    async with asyncio.timeout(5):
        await scheduler.run_all()
    assert recorder.started == []
    assert {ended.state for ended in scheduler.ended.values()} == {NodeState.CANCELLED}


async def test_what_is_requeued_runs_again_with_what_it_had_stopped() -> None:
    """A node that failed, and those skipped for it, run once the operator takes them up again."""
    recorder = Recorder(
        planned("a#n1"),
        planned("a#n2", "a#n1"),
        planned("b#n1", rank=0),
        a_n1=NodeEnded(NodeState.FAILED, "no"),
    )
    inner = recorder.run
    scheduler = recorder.scheduler({})

    async def run(node: PlannedNode, release: Release) -> NodeEnded | Again:
        ended = await inner(node, release)
        if node.key == "b#n1":
            while "a#n2" not in scheduler.ended:  # noqa: ASYNC110 (the scheduler has no event for it)
                await asyncio.sleep(0)
            recorder.outcomes.clear()
            scheduler.reopen(["a#n1", "a#n2", "b#n1"])
        return ended

    scheduler.run = run
    async with asyncio.timeout(5):
        await scheduler.run_all()
    assert recorder.started == ["a#n1", "b#n1", "a#n1", "a#n2"]
    assert set(scheduler.ended.values()) == {DONE}


async def test_a_second_word_does_not_cut_the_recording_of_a_cancelled_node() -> None:
    """Orders that come while a cancellation is being recorded leave it alone, and the night comes to its end."""
    nodes = Recorder(planned("a#n1"))
    running, recording = asyncio.Event(), asyncio.Event()

    async def run(_: PlannedNode, release: Release) -> NodeEnded:
        running.set()
        await asyncio.sleep(3600)
        return DONE

    async def end(state: NodeState, cause: str, keys: tuple[str, ...]) -> None:
        recording.set()
        await asyncio.sleep(0.02)
        await nodes.end(state, cause, keys)

    nodes.run = run  # type: ignore[method-assign]
    scheduler = nodes.scheduler()
    scheduler.end = end
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(scheduler.run_all(), name="night")
        await running.wait()
        scheduler.obey(Standing(cancelled_tasks={"a": "wrong"}))
        await recording.wait()
        scheduler.obey(Standing(cancelled_tasks={"a": "wrong"}, paused=True))
    assert nodes.ends == [(NodeState.CANCELLED, ("a#n1",))]


async def settle() -> None:
    """Let everything happen that can."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_only_nodes_that_ask_the_model_wait_for_its_server() -> None:
    """While the server is lost the others go on, and the night waits; once it is back everything runs."""
    recorder = Recorder(planned("a#n1", agent=True), planned("b#n1"), planned("b#n2", "b#n1", agent=True))
    scheduler = recorder.scheduler()
    scheduler.hold_for_server(True)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        running = group.create_task(scheduler.run_all(), name="night")
        await settle()
        assert set(scheduler.ended) == {"b#n1"}
        assert not running.done()
        scheduler.hold_for_server(False)
    assert set(scheduler.ended) == {"a#n1", "b#n1", "b#n2"}


async def test_a_night_that_waits_for_its_server_can_be_stopped() -> None:
    """The end of the window does not wait for the server."""
    recorder = Recorder(planned("a#n1", agent=True))
    scheduler = recorder.scheduler()
    scheduler.hold_for_server(True)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        running = group.create_task(scheduler.run_all(), name="night")
        await settle()
        assert not running.done()
        scheduler.stop()
    assert scheduler.ended == {}


async def test_holds_and_the_server_keep_a_node_together() -> None:
    """A node that is held and asks a lost server starts when both let it go, in whichever order."""
    for first in (True, False):
        recorder = Recorder(planned("a#n1", agent=True), planned("b#n1", agent=True))
        scheduler = recorder.scheduler()
        scheduler.hold_for_server(True)
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(scheduler.run_all(), name="night")
            scheduler.obey(Standing(held_tasks={"a": "wait"}))
            await settle()
            if first:
                scheduler.obey(Standing())
                await settle()
                assert recorder.started == []
                scheduler.hold_for_server(False)
            else:
                scheduler.standing = Standing(paused=True, held_tasks={"a": "wait"})
                scheduler.hold_for_server(False)
                await settle()
                assert recorder.started == []
                scheduler.obey(Standing())
        assert sorted(recorder.started) == ["a#n1", "b#n1"]


async def test_a_node_that_is_cancelled_before_its_first_step_gives_its_slots_back() -> None:
    """An order that comes while a node is being started ends that node; the night goes on with its slots."""
    recorder = Recorder(planned("a#n1"), planned("b#n1", cpu=1), planned("c#n1", cpu=1))
    scheduler = recorder.scheduler({"cpu": 1}, admit=lambda node: "spent" if node.task == "a" else "")

    async def end(state: NodeState, cause: str, keys: tuple[str, ...]) -> None:
        if keys == ("a#n1",):
            # The order comes while this end is recorded: the loop has not yet come to the node started before.
            scheduler.obey(Standing(cancelled_tasks={"b": "not wanted"}))

    scheduler.end = end
    async with asyncio.timeout(5):
        await scheduler.run_all()
    assert recorder.started == ["c#n1"]
    assert scheduler.ended["b#n1"] == NodeEnded(NodeState.CANCELLED, "cancelled by the operator: not wanted")
    assert scheduler.ended["c#n1"] == DONE


async def test_an_order_that_is_taken_back_while_a_node_ends_for_it_leaves_nothing_hanging() -> None:
    """A node that was told to end has ended, also where nobody wants that any more when it is recorded."""
    recorder = Recorder(planned("a#n1", cpu=1), planned("b#n1", cpu=1))

    async def run(node: PlannedNode, release: Release) -> NodeEnded | Again:
        if node.key == "a#n1":
            scheduler.obey(Standing(cancelled_tasks={"a": "wrong"}))
            try:
                await asyncio.sleep(3600)
            finally:
                scheduler.obey(Standing())
                await asyncio.sleep(0.01)
        return await recorder.run(node, release)

    scheduler = recorder.scheduler({"cpu": 1})
    scheduler.run = run
    async with asyncio.timeout(5):
        await scheduler.run_all()
    assert scheduler.ended["a#n1"] == NodeEnded(NodeState.CANCELLED, "cancelled by the operator: wrong")
    assert recorder.started == ["b#n1"]


async def test_a_node_that_was_cancelled_while_it_failed_is_not_waited_for_again() -> None:
    """Told to end when another attempt was decided already, it ends at once and not when that would begin."""
    recorder = Recorder(planned("a#n1"))

    async def run(_: PlannedNode, release: Release) -> NodeEnded | Again:
        scheduler.obey(Standing(cancelled_tasks={"a": "wrong"}))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        take_back_cancellation()
        return Again(3600)

    scheduler = recorder.scheduler()
    scheduler.run, scheduler.sleep = run, asyncio.sleep
    async with asyncio.timeout(5):
        await scheduler.run_all()
    assert scheduler.ended["a#n1"] == NodeEnded(NodeState.CANCELLED, "cancelled by the operator: wrong")
