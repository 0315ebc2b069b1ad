"""What a closed night hands on, and what a night may take: laws over any tasks, needs and outcomes."""

from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.carry_over import CARRIED, accepted_of, choose_takeable, plan_carry_over
from pantheon.core.records import TaskOutcome, TaskRecord
from pantheon.core.task import Task

BATCH = "b" * 12
SPENT = "draft: not started: the budget of task {key} is spent: 9 of 1 steps"


def record(place: int, needs: set[int], outcome: TaskOutcome | None, spent: bool) -> TaskRecord:
    task = Task(id=f"t{place}", kind="k", goal="g", needs=tuple(f"t{need}" for need in sorted(needs)))
    key = f"{BATCH}/{task.id}"
    return TaskRecord(
        key=key,
        batch=BATCH,
        line=task.canonical_line().decode(),
        outcome=outcome,
        cause=SPENT.format(key=key) if spent else "",
    )


@st.composite
def nights(draw: st.DrawFn) -> list[TaskRecord]:
    """Return tasks that need earlier ones, some of which are of no task here."""
    return [
        record(
            place,
            draw(st.sets(st.integers(0, place - 1), max_size=3)) if place else set(),
            draw(st.sampled_from(TaskOutcome)),
            draw(st.booleans()),
        )
        for place in range(draw(st.integers(0, 9)))
        if place < 2 or draw(st.integers(0, 4))
    ]


def needs(task: TaskRecord) -> set[str]:
    return {f"{BATCH}/{need}" for need in Task.model_validate_json(task.line).needs}


def own_spent(task: TaskRecord) -> bool:
    return "of task" in task.cause


@given(nights(), st.sets(st.integers(0, 9)))
def test_what_is_handed_on_can_start(tasks: list[TaskRecord], places: set[int]) -> None:
    """All that it needs was accepted or goes along; nothing that ended, landed or spent its own budget does."""
    landed = {f"{BATCH}/t{place}" for place in places}
    known = {task.key: task for task in tasks}
    carried = plan_carry_over(tasks, landed)
    assert list(carried) == [task.key for task in tasks if task.key in carried]
    for key in carried:
        assert known[key].outcome in CARRIED
        assert key not in landed
        assert not own_spent(known[key])
        for need in needs(known[key]) & known.keys():
            assert need in carried or known[need].outcome is TaskOutcome.ACCEPTED
        if known[key].outcome is TaskOutcome.BLOCKED:
            assert needs(known[key]) & set(carried)


@given(nights())
def test_what_stays_has_a_reason(tasks: list[TaskRecord]) -> None:
    """A task that was not reached is left behind only with its budget spent, or with something it needs lost."""
    known, carried = {task.key: task for task in tasks}, plan_carry_over(tasks)
    for task in tasks:
        if task.outcome is TaskOutcome.NOT_REACHED and task.key not in carried:
            lost = [
                need
                for need in needs(task) & known.keys()
                if need not in carried and known[need].outcome is not TaskOutcome.ACCEPTED
            ]
            assert own_spent(task) or lost


@given(nights())
def test_the_next_night_can_take_all_that_was_handed_on(tasks: list[TaskRecord]) -> None:
    """With what was accepted done, nothing of it has to wait for anything else."""
    present = {task.key for task in tasks}
    carried = set(plan_carry_over(tasks))
    waiting = [task for task in tasks if task.key in carried]
    elsewhere = {need for task in tasks for need in needs(task)} - present
    assert list(choose_takeable(waiting, accepted_of(tasks) | elsewhere)) == waiting


@given(nights(), st.sets(st.integers(0, 9)))
def test_a_night_takes_what_it_can_plan_and_no_less(tasks: list[TaskRecord], places: set[int]) -> None:
    """Every need is done or taken; adding any task that was left out would break that, by its own needs or further."""
    accepted = {f"{BATCH}/t{place}" for place in places} - {task.key for task in tasks}
    chosen = {task.key for task in choose_takeable(tasks, accepted)}
    for task in tasks:
        met = all(need in chosen or need in accepted for need in needs(task))
        assert met == (task.key in chosen)
