"""A running night obeys its operator, keeps its budget over processes, and lets writers of one file take turns."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pantheon.core.budget import Ceilings
from pantheon.core.orders import Verb
from pantheon.core.policy import NightBudget, NightPolicy
from pantheon.core.records import NodeState, TaskOutcome
from pantheon.core.task import Task
from pantheon.engine import control
from pantheon.engine.night import NightSummary
from pantheon.testing.night import BATCH, Bench, NoteScript, opened
from pantheon.testing.sample_notes import NOTES, PROPOSALS
from pantheon.testing.user_repository import git, make_repository

TARGETS = tuple(NOTES)
FIRST, SECOND = f"{BATCH}/2026.01.01", f"{BATCH}/2026.01.02"
Step = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "user", NOTES)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the orders more often than a person would notice, and count how often."""
    monkeypatch.setattr(control, "POLL_S", 0.01)
    look = control.NightControl.look

    async def counted(self: control.NightControl) -> None:
        await look(self)
        Looks.count += 1

    monkeypatch.setattr(control.NightControl, "look", counted)


class Looks:
    """How often a night has looked at its orders."""

    count = 0


async def seen() -> None:
    """Wait until the night has followed all that was ordered by now: the look under way may be too old."""
    wanted = Looks.count + 2
    while Looks.count < wanted:  # noqa: ASYNC110 - a night tells nobody
        await asyncio.sleep(0.005)


async def order(bench: Bench, verb: Verb, *, task: str = "", night: str = "n1") -> None:
    await bench.store.add_order(verb, night=night, task=task, reason="because", by="ann")


async def night_with(bench: Bench, step: Step, *, at: str = "") -> NightSummary:
    """Run the night; before the first model call that holds ``at``, the step is carried out, and has been seen."""
    inner = bench.services.model
    waiting = [step]

    class Model:
        endpoint = inner.endpoint

        async def chat(self, request: object, *, deadline_s: float) -> object:
            if waiting and at in str(request):
                await waiting.pop(0)(bench)
                await seen()
            return await inner.chat(request, deadline_s=deadline_s)  # type: ignore[arg-type]

    bench.services = replace(bench.services, model=Model())  # type: ignore[arg-type]
    try:
        return await bench.night(TARGETS)
    finally:
        bench.services = replace(bench.services, model=inner)


def outcomes(summary: NightSummary) -> dict[str, tuple[TaskOutcome | None, str]]:
    return {task.key: (task.outcome, task.cause) for task in summary.tasks}


async def test_a_cancelled_task_ends_and_the_other_goes_on(root: Path, tmp_path: Path) -> None:
    """Ordered while its agent works, the task is cancelled with the reason; nothing of it lands."""

    async def cancel(bench: Bench) -> None:
        await order(bench, Verb.CANCEL, task=FIRST)

    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        summary = await night_with(bench, cancel)
        attempts = await bench.store.attempts("n1")
    assert outcomes(summary)[FIRST] == (TaskOutcome.CANCELLED, "cancelled by the operator: because")
    assert outcomes(summary)[SECOND][0] is TaskOutcome.ACCEPTED
    assert all(attempt.result is not None for attempt in attempts)
    assert git(
        root, "log", "--format=%(trailers:key=Pantheon-Task,valueonly)", "main..pantheon/night-n1"
    ).split() == [SECOND]


async def test_a_cancelled_night_closes(root: Path, tmp_path: Path) -> None:
    """Everything ends as cancelled, and the night is closed."""

    async def cancel(bench: Bench) -> None:
        await order(bench, Verb.CANCEL)

    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        summary = await night_with(bench, cancel)
        state = (await bench.store.nights())[0].state
    assert summary.outcomes == {"cancelled": 2}
    assert (state, summary.left_open) == ("closed", False)


async def test_a_paused_night_goes_on_when_told(root: Path, tmp_path: Path) -> None:
    """Nothing new starts while it is paused; resumed, it ends like any other."""
    calls: list[int] = []

    async def pause(bench: Bench) -> None:
        await order(bench, Verb.PAUSE)

        async def resume() -> None:
            await seen()
            while any(one.state is NodeState.RUNNING for one in await bench.store.nodes("n1")):  # noqa: ASYNC110 - a store tells nobody
                await asyncio.sleep(0.01)
            calls.append(len(bench.server.requests))
            await asyncio.sleep(0.3)
            calls.append(len(bench.server.requests))
            await order(bench, Verb.RESUME)

        tasks.create_task(resume(), name="operator")

    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench, asyncio.TaskGroup() as tasks:
        summary = await night_with(bench, pause)
    assert summary.outcomes == {"accepted": 2}
    assert calls[0] == calls[1]


async def test_a_held_task_is_not_reached(root: Path, tmp_path: Path) -> None:
    """What a held task has running ends; nothing more of it starts, and it does not keep the night from closing."""

    async def hold(bench: Bench) -> None:
        await order(bench, Verb.HOLD, task=SECOND)

    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        summary = await night_with(bench, hold)
    assert outcomes(summary)[FIRST][0] is TaskOutcome.ACCEPTED
    assert outcomes(summary)[SECOND] == (TaskOutcome.NOT_REACHED, "held by the operator: because")
    assert not summary.left_open


async def test_a_requeued_task_runs_again_in_the_same_night(root: Path, tmp_path: Path) -> None:
    """A task that failed and is requeued while another one works is tried again, and lands."""
    hopeless = {**PROPOSALS, "queues": {**PROPOSALS["queues"], "title": "Notes"}}
    script = NoteScript(hopeless)
    failed = asyncio.Event()
    requeued: list[str] = []

    async def requeue(bench: Bench) -> None:
        await failed.wait()
        script.proposals = PROPOSALS
        again = await bench.store.requeue(FIRST, reason="the prompt was mended", by="ann")
        requeued.extend(key.rpartition("#")[2] for key in again)

    async with opened(root, tmp_path, script) as bench:
        bench.watch = lambda step: (
            failed.set() if not step.node and step.event == TaskOutcome.FAILED else None
        )
        summary = await night_with(bench, requeue, at="The monthly report")
        attempts = await bench.store.attempts("n1")
    assert summary.outcomes == {"accepted": 2}
    assert requeued[0] == "doc.frontmatter"
    tries = [a.attempt for a in attempts if a.node == f"{FIRST}#doc.frontmatter"]
    assert tries == [1, 2, 3, 4]
    assert [a.attempt for a in attempts if a.node == f"{FIRST}#plan.validate"] == [1]


async def test_a_drained_night_goes_on_in_the_next_process(root: Path, tmp_path: Path) -> None:
    """Drained it stays open; started again, it takes the drain back, says so, and ends."""

    async def drain(bench: Bench) -> None:
        await order(bench, Verb.DRAIN)

    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        drained = await night_with(bench, drain)
        assert drained.left_open
        summary = await bench.night(TARGETS)
        verbs = [one.verb for one in await bench.store.orders("n1")]
    assert summary.outcomes == {"accepted": 2}
    assert verbs == [Verb.DRAIN, Verb.RESUME]


async def test_a_night_begun_after_its_window_reaches_nothing(root: Path, tmp_path: Path) -> None:
    """The window's end closes the night with work left, and says why."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        bench.ends_at = bench.services.clock.now() - timedelta(seconds=1)
        summary = await bench.night(TARGETS)
    assert summary.outcomes == {"not_reached": 2}
    assert {cause for _, cause in outcomes(summary).values()} == {"the night's window ended before it"}


async def test_a_budget_counts_over_processes(root: Path, tmp_path: Path) -> None:
    """What an earlier process of the night has used is not given again to the one that resumes it."""

    async def drain(bench: Bench) -> None:
        await order(bench, Verb.DRAIN)

    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        await night_with(bench, drain)
        used = sum(
            a.result.metrics["completion_tokens"] for a in await bench.store.attempts("n1") if a.result
        )
        assert used > 0
        policy = NightPolicy.model_construct(
            budget=NightBudget.model_construct(output_tokens=used + 1, wall_s=9_000)
        )
        bench.services = replace(bench.services, content=replace(bench.services.content, night_policy=policy))
        summary = await bench.night(TARGETS)
    assert not summary.left_open
    assert summary.outcomes["not_reached"] >= 1


async def test_two_tasks_on_one_file_take_turns(root: Path, tmp_path: Path) -> None:
    """The second starts from what the first landed and finds its file under the new name."""
    twice = NOTES | {"docs/2026.01.01.md": NOTES["docs/2026.01.01.md"]}
    assert len(twice) == 2
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        summary = await bench.night([TARGETS[0], TARGETS[0]])
        attempts = await bench.store.attempts("n1")
    by_task = {key: outcome for key, (outcome, _) in outcomes(summary).items()}
    assert by_task[FIRST] is TaskOutcome.ACCEPTED
    assert by_task[f"{FIRST}-2"] is TaskOutcome.SKIPPED
    first_end = max(a.ended_at for a in attempts if a.node.startswith(f"{FIRST}#") and a.ended_at)
    second_start = min(a.started_at for a in attempts if a.node.startswith(f"{FIRST}-2#"))
    assert second_start >= first_end


async def test_a_package_that_has_used_its_budget_is_not_reached(root: Path, tmp_path: Path) -> None:
    """What is under way is finished, what would start is not, and the other packages go on."""
    budget = NightBudget(package={"docs": Ceilings(output_tokens=1)})
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        policy = NightPolicy(budget=budget)
        bench.services = replace(bench.services, content=replace(bench.services.content, night_policy=policy))
        tasks = [
            Task(
                id=f"n-{number}", kind="docops", goal="Catalogue the note", targets=(target,), package=package
            )
            for number, (target, package) in enumerate([(TARGETS[0], "docs"), (TARGETS[1], "other")])
        ]
        summary = await bench.work(tasks)
        spent = await bench.store.attempts("n1")
    by_task = {key.rpartition("/")[2]: told for key, told in outcomes(summary).items()}
    assert by_task["n-1"][0] is TaskOutcome.ACCEPTED
    outcome, cause = by_task["n-0"]
    assert outcome is TaskOutcome.NOT_REACHED
    assert "the budget of package docs is spent" in cause
    assert not any("/n-0#merge" in attempt.node for attempt in spent)


async def test_nothing_starts_that_the_window_cannot_hold(root: Path, tmp_path: Path) -> None:
    """With less time left than a task is expected to take, it is not begun, and the night says so."""
    async with opened(root, tmp_path, NoteScript(PROPOSALS)) as bench:
        bench.ends_at = bench.services.clock.now() + timedelta(seconds=15)
        summary = await bench.night([TARGETS[0]])
        attempts = await bench.store.attempts("n1")
    [(outcome, cause)] = outcomes(summary).values()
    assert outcome is TaskOutcome.NOT_REACHED
    assert "would not be finished when the window ends" in cause
    assert attempts == ()
