"""Reads what was said of one task's change, for the commands that tell it."""

from collections.abc import Mapping

from pantheon.core.errors import PantheonError
from pantheon.core.overview import TaskStory, find_task
from pantheon.core.taken_back import UNDO_EVENT, taken_back
from pantheon.report.judgement import Floors, Judgement, read_judgement
from pantheon.report.reading import mapping, number
from pantheon.shell.config import Project
from pantheon.shell.wiring import load_agents, look_into_store, project_evidence


async def read_story(project: Project, name: str) -> TaskStory:
    """Read one task with its nodes and attempts, of the night that has it or has not reached it.

    Raises:
        ConfigError: no task is called so, or several are.
        StoreError: the store cannot be read.
    """
    async with look_into_store(project) as store:
        record = find_task(() if store is None else await store.tasks(), name)
        night = record.night or record.left_by
        if store is None or night is None:
            return TaskStory(task=record, night=None, nodes=(), attempts=())
        nodes = tuple(node for node in await store.nodes(night) if node.task == record.key)
        keys = {node.key for node in nodes}
        attempts = tuple(one for one in await store.attempts(night) if one.node in keys)
        back = taken_back(await store.events(night, name=UNDO_EVENT)).get(record.key)
        return TaskStory(task=record, night=night, nodes=nodes, attempts=attempts, taken_back=back)


async def judge(project: Project, name: str) -> Judgement:
    """Read what was said of a task's change. Raises ``ConfigError``, ``StoreError``."""
    return await read_judgement(
        await read_story(project, name), project_evidence(project), reviewer_floors(project)
    )


def reviewer_floors(project: Project) -> Mapping[str, Floors]:
    """Return what the project's reviewers demand now; nothing where they cannot be read any more."""
    try:
        agents = load_agents(project)
    except PantheonError:
        # What was said is told whatever became of the agents since.
        return {}
    return {
        name: Floors(
            version=agent.spec.version,
            questions={question.id: question.floor for question in agent.spec.question},
            label_mass=agent.spec.label_mass_floor,
        )
        for name, agent in agents.items()
        if agent.spec.role == "reviewer"
    }


async def list_outcomes(project: Project) -> list[tuple[str, str, str]]:
    """Return task, outcome and cause for every task of the last night. Raises ``StoreError``."""
    async with look_into_store(project) as store:
        nights = () if store is None else await store.nights()
        if store is None or not nights:
            return []
        tasks = await store.tasks(night=nights[-1].id)
        return [(task.key, task.outcome or "open", task.cause) for task in tasks]


async def list_verdicts(project: Project) -> list[tuple[str, str, str, float | None]]:
    """Return task, reviewer, verdict and margin for every verdict of the last night. Raises ``StoreError``."""
    async with look_into_store(project) as store:
        nights = () if store is None else await store.nights()
        attempts = () if store is None or not nights else await store.attempts(nights[-1].id)
    found = []
    for one in attempts:
        metrics = {} if one.result is None else one.result.metrics
        output = mapping(metrics.get("output"))
        if metrics.get("agent") and output.get("verdict") in ("pass", "fail"):
            task = one.node.rpartition("#")[0]
            found.append((task, str(metrics["agent"]), str(output["verdict"]), number(output.get("margin"))))
    return found
