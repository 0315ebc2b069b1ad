"""The report's read model: the store's truth and the artifacts' evidence brought together.

Invariants:
- every task of the night is in the report, whatever its artifacts look like;
- nothing here decides anything; it only counts, groups and quotes.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from pydantic import ValidationError

from pantheon.core.agreement import Verdict, compare_reviewers, rate_reviewers
from pantheon.core.carry_over import plan_carry_over
from pantheon.core.causes import OPEN, cause_pattern, name_failure, say_night
from pantheon.core.contained import CONTAINED_EVENT
from pantheon.core.errors import ConfigError
from pantheon.core.figures import count_tool_errors, rate_agents, sum_model_use, time_nodes
from pantheon.core.outages import ENDS, find_outages
from pantheon.core.records import AttemptRecord, EventRecord, NightRecord, NodeRecord, TaskOutcome, TaskRecord
from pantheon.core.sandbox import SandboxKind
from pantheon.core.taken_back import UNDO_EVENT, taken_back
from pantheon.core.visible import visible
from pantheon.engine.open_nights import waits_to_land
from pantheon.ports.evidence import EvidenceReader
from pantheon.ports.store import Store
from pantheon.report.canaries import tell_canaries
from pantheon.report.endpoints import read_calls, tell_endpoints
from pantheon.report.evidence import read_attempt, read_checkpoint
from pantheon.report.in_flight import tell_in_flight
from pantheon.report.limits import Limits
from pantheon.report.model import AttemptShown, CauseGroup, NightFacts, Report, TaskShown
from pantheon.report.needs import rank_needs
from pantheon.report.outages import tell_outages
from pantheon.report.stories import Worked, land_changes, show_task
from pantheon.report.taken_back import tell_taken_back

MAX_PROBLEMS = 50
READERS = 4
"""Attempts whose artifacts are read at once."""


async def find_night(store: Store, name: str | None) -> NightRecord:
    """Return a night by its id or the beginning of it; the newest when no name is given.

    Raises:
        ConfigError: there is no such night, or several.
        StoreError: the store cannot be read.
    """
    nights = await store.nights()
    if name is None:
        if not nights:
            raise ConfigError("there was no night yet", hint="Queue something and run: pantheon night")
        return nights[-1]
    fitting = [one for one in nights if one.id == name] or [one for one in nights if one.id.startswith(name)]
    if len(fitting) != 1 or not name:
        known = ", ".join(one.id for one in (fitting or nights)[-10:]) or "none"
        what = "several nights are" if fitting else "no night is"
        raise ConfigError(f"{what} called {name!r}", hint=f"Known nights: {known}")
    return fitting[0]


async def build_report(store: Store, evidence: EvidenceReader, night_id: str | None = None) -> Report:
    """Return the report of a night, closed or not.

    Args:
        store: the truth.
        evidence: what the attempts left.
        night_id: id of the night or the beginning of it; the newest when None.

    Raises:
        ConfigError: there is no such night.
        StoreError: the store cannot be read.
    """
    night = await find_night(store, night_id)
    tasks = await store.tasks(night=night.id)
    nodes = await store.nodes(night.id)
    attempts = await store.attempts(night.id)
    shown = await _read_attempts(evidence, nodes, attempts)
    to_land = 0 if night.closed_at is not None else await waits_to_land(store, night.id)
    report = await asyncio.to_thread(_assemble, night, tasks, nodes, attempts, shown, to_land)
    checkpoint = await read_checkpoint(evidence, night.id)
    sandbox = _weakest_sandbox(await store.events(night.id, name=CONTAINED_EVENT))
    facts = report.night.model_copy(update={"checkpoint": checkpoint, "sandbox": sandbox})
    back = taken_back(await store.events(night.id, name=UNDO_EVENT))
    outages = find_outages([event for name in ENDS for event in await store.events(night.id, name=name)])
    report = tell_endpoints(report, await read_calls(store, night.id))
    report = await tell_in_flight(report, store)
    told = tell_outages(report.model_copy(update={"night": facts}), outages, _last_sign(night, attempts))
    return tell_canaries(tell_taken_back(told, back), night, attempts, back)


def _weakest_sandbox(events: Sequence[EventRecord]) -> SandboxKind | None:
    """Return what code of the repository ran in, as the night's processes attested; none where one had none."""
    kinds = {SandboxKind(event.details["sandbox"]["kind"]) for event in events}
    return SandboxKind.NONE if SandboxKind.NONE in kinds else next(iter(kinds), None)


def _last_sign(night: NightRecord, attempts: Sequence[AttemptRecord]) -> datetime:
    """Return the last moment that an open night is known to have lived."""
    return max([night.started_at, *(one.ended_at or one.started_at for one in attempts)])


async def _read_attempts(
    evidence: EvidenceReader, nodes: Sequence[NodeRecord], attempts: Sequence[AttemptRecord]
) -> list[AttemptShown]:
    known = {node.key: node for node in nodes}
    limits = Limits.for_attempts(len(attempts))
    shown: dict[int, AttemptShown] = {}
    waiting = iter(enumerate(attempts))

    async def read() -> None:
        for place, one in waiting:
            node = known.get(one.node)
            task = node.task if node is not None else one.node.rpartition("#")[0]
            shown[place] = await read_attempt(evidence, one, node, task, limits)

    async with asyncio.TaskGroup() as group:
        for number in range(READERS):
            group.create_task(read(), name=f"read evidence {number}")
    return [shown[place] for place in range(len(attempts))]


def _assemble(
    night: NightRecord,
    tasks: Sequence[TaskRecord],
    nodes: Sequence[NodeRecord],
    attempts: Sequence[AttemptRecord],
    shown: Sequence[AttemptShown],
    to_land: int,
) -> Report:
    worked: dict[str, list[Worked]] = defaultdict(list)
    for record, one in zip(attempts, shown, strict=True):
        worked[one.facts.task].append(Worked(record, one))
    of_task: dict[str, list[NodeRecord]] = defaultdict(list)
    for node in nodes:
        of_task[node.task].append(node)
    stories = tuple(
        show_task(place, task, of_task[task.key], worked[task.key]) for place, task in enumerate(tasks, 1)
    )
    verdicts = _verdicts(shown)
    groups = _group_causes(tasks, stories)
    agreement, reviewers = compare_reviewers(verdicts), rate_reviewers(verdicts)
    facts = [one.facts for one in shown]
    about = _night_facts(night, len(tasks), len(attempts))
    accepted = sum(task.outcome is TaskOutcome.ACCEPTED for task in tasks)
    outcomes: dict[str, int] = defaultdict(int)
    for task in tasks:
        outcomes[task.outcome or OPEN] += 1
    return Report(
        night=about,
        sentence=say_night(
            _name_failures(tasks, verdicts),
            accepted,
            closed=night.closed_at is not None,
            attempts=len(attempts),
            to_land=to_land,
        ),
        outcomes=dict(sorted(outcomes.items())),
        needs=rank_needs(about, stories, groups, agreement, reviewers, _carried_over(night, tasks)),
        landed=land_changes(tasks, stories, worked),
        not_accepted=groups,
        timings=time_nodes(facts),
        model_use=sum_model_use(facts),
        agents=rate_agents(facts, {task.key: task.outcome for task in tasks}),
        tool_errors=count_tool_errors(facts),
        reviewers=reviewers,
        agreement=agreement,
        tasks=stories,
        problems=_problems(shown),
    )


def _carried_over(night: NightRecord, tasks: Sequence[TaskRecord]) -> frozenset[str]:
    """Return the tasks, as they are shown, that a closed night has handed on to the next one."""
    if not night.summary.get("carried_over"):
        return frozenset()
    try:
        return frozenset(visible(key) for key in plan_carry_over(tasks))
    except ValidationError:
        # A line that cannot be read is told of in its task's story.
        return frozenset()


def _night_facts(night: NightRecord, tasks: int, attempts: int) -> NightFacts:
    wall_s = None
    if night.closed_at is not None:
        wall_s = max((night.closed_at - night.started_at).total_seconds(), 0.0)
    return NightFacts(
        id=visible(night.id),
        state=night.state.value,
        branch=visible(night.branch),
        base_commit=visible(night.base_commit),
        started_at=night.started_at,
        closed_at=night.closed_at,
        wall_s=wall_s,
        attempts=attempts,
        tasks=tasks,
    )


def _verdicts(shown: Sequence[AttemptShown]) -> list[Verdict]:
    return [
        Verdict(
            task=one.facts.task,
            reviewer=one.review.reviewer,
            version=one.review.version,
            verdict=one.review.verdict,
            margin=one.review.margin,
        )
        for one in shown
        if one.review is not None
    ]


def _name_failures(tasks: Sequence[TaskRecord], verdicts: Sequence[Verdict]) -> list[str]:
    against: dict[str, bool] = defaultdict(bool)
    for one in verdicts:
        against[one.task] |= one.verdict != "pass"
    return [
        name_failure(task.outcome, visible(task.cause), by_reviewers=against[task.key])
        for task in tasks
        if task.outcome is not TaskOutcome.ACCEPTED
    ]


def _group_causes(tasks: Sequence[TaskRecord], stories: Sequence[TaskShown]) -> tuple[CauseGroup, ...]:
    groups: dict[tuple[str, str], list[tuple[str, str, str]]] = defaultdict(list)
    for task, story in zip(tasks, stories, strict=True):
        if task.outcome is not TaskOutcome.ACCEPTED:
            pattern = visible(cause_pattern(task.cause)) if task.outcome is not None else "still open"
            groups[task.outcome or OPEN, pattern].append((story.key, story.label, story.cause))
    ranked = sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return tuple(
        CauseGroup(outcome=outcome, cause=cause, tasks=tuple(members)) for (outcome, cause), members in ranked
    )


def _problems(shown: Sequence[AttemptShown]) -> tuple[str, ...]:
    found = [f"{one.folder}: {problem}" for one in shown for problem in one.problems]
    more = len(found) - MAX_PROBLEMS
    return (*found[:MAX_PROBLEMS], *((f"and {more} more",) if more > 0 else ()))
